/*
 * What is known of one followed task, and how each piece of news changes it. Pure: news may come late, twice, in any
 * order or not at all; whatever came, the state after the last look at the tables is the same.
 */
import type { AgentTaskError } from './errors.js';
import type { JsonObject } from './json.js';
import { type AgentTask, type AgentTaskEvent, isEvent, isFinal } from './task.js';
import { compareTimes } from './time.js';

/** Streamed text that is not stored yet: part `part` of the event that will be number `seq`. */
export interface Delta {
  readonly seq: number;
  readonly part: number;
  readonly attempt: number;
  readonly text: string;
}

export interface FollowState {
  readonly task: AgentTask | null;
  /** All events, without a gap, from the first. */
  readonly stored: readonly AgentTaskEvent[];
  /** Events that still stand: without those of attempts that were given up. */
  readonly events: readonly AgentTaskEvent[];
  /** The text of `events`, and what streams after it. */
  readonly text: string;
  /** Why the task cannot be followed. */
  readonly problem: AgentTaskError | null;
  /** The task has ended and every event of it is in `stored`. */
  readonly isDrained: boolean;
  /** How many changes of the row were told by the feed; a look that began before one of them may be stale. */
  readonly changes: number;
  /** Events that came before their predecessors. */
  readonly ahead: ReadonlyMap<number, AgentTaskEvent>;
  readonly parts: ReadonlyMap<number, ReadonlyMap<number, Delta>>;
  readonly storedText: string;
}

export type FollowInput =
  /** The feed tells a new version of the row. */
  | { readonly type: 'changed'; readonly task: AgentTask }
  /** The row was read; `changes` is what the state's was when the look began. */
  | { readonly type: 'looked'; readonly task: AgentTask; readonly changes: number }
  | { readonly type: 'events'; readonly events: readonly AgentTaskEvent[] }
  | { readonly type: 'delta'; readonly delta: Delta }
  /** Every event has been read after the task had ended. */
  | { readonly type: 'drained' }
  | { readonly type: 'refused'; readonly problem: AgentTaskError };

/** The state before any news; `task` is the row where it is known already. */
export function initialState(task: AgentTask | null): FollowState {
  return {
    task,
    stored: [],
    events: [],
    text: '',
    problem: null,
    isDrained: false,
    changes: 0,
    ahead: new Map(),
    parts: new Map(),
    storedText: '',
  };
}

/** The state after a piece of news; the same object when it says nothing new. */
export function reduce(state: FollowState, input: FollowInput): FollowState {
  switch (input.type) {
    case 'changed':
      return { ...withTask(state, input.task, false), changes: state.changes + 1 };
    case 'looked':
      return withTask(state, input.task, input.changes === state.changes);
    case 'events':
      return withEvents(state, input.events);
    case 'delta':
      return withDelta(state, input.delta);
    case 'drained':
      return state.isDrained ? state : { ...state, isDrained: true };
    case 'refused':
      return state.problem === null ? { ...state, problem: input.problem } : state;
  }
}

/** Whether an event is missing before something that came. */
export function hasGap({ ahead, parts, stored }: FollowState): boolean {
  return ahead.size > 0 || [...parts.keys()].some((seq) => seq > stored.length + 1);
}

// An end is never taken back here: who redrives a task follows it anew.
function withTask(state: FollowState, task: AgentTask, isCurrent: boolean): FollowState {
  const known = state.task;
  if (known === null) return { ...state, task };
  if (isFinal(known) || isSame(known, task)) return state;
  if (isFinal(task) || isCurrent || compareTimes(task.updated_at, known.updated_at) >= 0) return { ...state, task };
  return state;
}

function isSame(a: AgentTask, b: AgentTask): boolean {
  return (
    a.updated_at === b.updated_at &&
    a.status === b.status &&
    a.attempt === b.attempt &&
    a.cancel_requested_at === b.cancel_requested_at
  );
}

function withEvents(state: FollowState, news: readonly AgentTaskEvent[]): FollowState {
  const last = state.stored.length;
  const ahead = new Map(state.ahead);
  for (const event of news) {
    if (event.seq > last && !ahead.has(event.seq)) ahead.set(event.seq, event);
  }
  if (ahead.size === state.ahead.size) return state;
  const stored = [...state.stored];
  let events = [...state.events];
  let storedText = state.storedText;
  for (let event = ahead.get(last + 1); event !== undefined; event = ahead.get(event.seq + 1)) {
    ahead.delete(event.seq);
    stored.push(event);
    if (isEvent(event, 'attempt-start')) {
      const { keep } = event.data;
      events = events.filter(({ data }) => typeof data.step === 'string' && keep.includes(data.step));
      storedText = events.map(textOf).join('');
    }
    events.push(event);
    storedText += textOf(event);
  }
  const parts = standing(state.parts, stored);
  return { ...state, ahead, stored, events, storedText, parts, text: storedText + streaming(parts, stored.length) };
}

// Parts whose row has come, and those of an attempt that was given up, have had their time.
function standing(parts: FollowState['parts'], stored: readonly AgentTaskEvent[]): FollowState['parts'] {
  const attempt = stored.at(-1)?.attempt ?? 0;
  const kept = [...parts].filter(([seq, byPart]) => {
    const [first] = byPart.values();
    return seq > stored.length && first !== undefined && first.attempt >= attempt;
  });
  return kept.length === parts.size ? parts : new Map(kept);
}

function withDelta(state: FollowState, delta: Delta): FollowState {
  const { stored, storedText } = state;
  if (delta.seq <= stored.length || delta.attempt < (stored.at(-1)?.attempt ?? 0)) return state;
  const known = state.parts.get(delta.seq);
  const [first] = known?.values() ?? [];
  if (first !== undefined && first.attempt > delta.attempt) return state;
  const byPart = new Map(first?.attempt === delta.attempt ? known : []);
  if (byPart.get(delta.part)?.text === delta.text) return state;
  byPart.set(delta.part, delta);
  const parts = new Map(state.parts).set(delta.seq, byPart);
  return { ...state, parts, text: storedText + streaming(parts, stored.length) };
}

// What is said of the next event, up to the first part that is missing. What is said of the one after it waits for the
// row between: the last part of an event is not broadcast when its row says it as well.
function streaming(parts: FollowState['parts'], last: number): string {
  const byPart = parts.get(last + 1) ?? new Map<number, Delta>();
  let text = '';
  for (let delta = byPart.get(0); delta !== undefined; delta = byPart.get(delta.part + 1)) text += delta.text;
  return text;
}

/** The text that an event adds. */
function textOf(event: AgentTaskEvent): string {
  return isEvent(event, 'text-delta') ? event.data.delta : '';
}

/** Read a broadcast of streamed text; null where it is none of this task. */
export function deltaOf(payload: JsonObject, taskId: string): Delta | null {
  const { task_id, seq, part, attempt, events } = payload;
  if (task_id !== taskId || !Array.isArray(events)) return null;
  if (!isCount(seq) || !isCount(part) || !isCount(attempt)) return null;
  const texts = events.map((event) => (event?.type === 'text-delta' ? event.data?.delta : ''));
  return texts.every((text) => typeof text === 'string') ? { seq, part, attempt, text: texts.join('') } : null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
