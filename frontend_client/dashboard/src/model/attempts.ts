/**
 * The attempts of a task and the bar of its life, decided from its row and its events.
 *
 * The row remembers the last claim only; earlier attempts are known by what they said. The row knows the last claim
 * better than its first event does, because an attempt says nothing before it has something to say.
 */
import { isFinal, type Json, type JsonObject, type Task, type TaskEvent, textOf } from './task';

export type Ending = 'running' | 'completed' | 'failed' | 'cancelled' | 'asked' | 'postponed' | 'given back';

export interface Attempt {
  /** As the task counts it: an attempt that was given back or asked a question shares its number with the next. */
  readonly number: number;
  /** Why it began: fresh, retry, rescued, postponed or answered. */
  readonly resume: string;
  readonly from: number;
  /** Null while it runs. */
  readonly to: number | null;
  readonly ending: Ending;
  readonly code: string;
  readonly error: string;
  /** Seconds until the next attempt, where one was announced. */
  readonly retryInS: number | null;
}

export type SegmentKind = 'waited' | 'ran' | 'asked' | 'ended';

/** A stretch of the bar; times in milliseconds, without gaps from one to the next. */
export interface Segment {
  readonly kind: SegmentKind;
  readonly from: number;
  readonly to: number;
  /** Of `ran`: how it ended. */
  readonly ending: Ending | null;
  readonly attempt: number | null;
}

const POSTPONED: readonly Json[] = ['postponed', 'provider_paused'];

export function attemptsOf(task: Task, events: readonly TaskEvent[]): readonly Attempt[] {
  const runs = splitRuns(events);
  const startedAt = task.started_at === null ? null : Date.parse(task.started_at);
  const lastStart = runs.at(-1)?.from ?? Number.NEGATIVE_INFINITY;
  const spoke = runs.length > 0 && startedAt !== null && lastStart >= startedAt;
  const attempts = runs.map((run, index) => {
    const next = runs[index + 1];
    const isLast = next === undefined;
    const from = isLast && spoke ? startedAt : run.from;
    if (isLast && (spoke || startedAt === null)) return { ...run.base, from, ...endingOfLast(task, run.events) };
    return { ...run.base, from, ...endingBefore(run.events, next?.base.resume ?? 'retry') };
  });
  if (startedAt === null || spoke) return attempts;
  const silent = { number: Math.max(task.attempt, 1), resume: runs.length > 0 ? 'retry' : 'fresh' };
  return [...attempts, { ...silent, from: startedAt, ...endingOfLast(task, []) }];
}

/** The task's life as one bar: waited, ran, waited again. The last stretch of a task that has not ended reaches `now`. */
export function segmentsOf(task: Task, attempts: readonly Attempt[], now: number): readonly Segment[] {
  const segments: Segment[] = [];
  let at = Date.parse(task.created_at);
  let between: SegmentKind = 'waited';
  const until = (to: number, kind: SegmentKind, attempt: Attempt | null) => {
    if (to > at) {
      segments.push({
        kind,
        from: at,
        to,
        ending: kind === 'ran' ? (attempt?.ending ?? null) : null,
        attempt: attempt?.number ?? null,
      });
    }
    at = Math.max(at, to);
  };
  for (const attempt of attempts) {
    until(attempt.from, between, null);
    until(attempt.to ?? now, 'ran', attempt);
    between = attempt.ending === 'asked' ? 'asked' : attempt.retryInS === null ? 'ended' : 'waited';
    if (attempt.ending === 'given back' || attempt.ending === 'postponed') between = 'waited';
  }
  const end = task.finished_at === null ? now : Date.parse(task.finished_at);
  if (task.status === 'pending') between = 'waited';
  until(end, between, null);
  return segments;
}

/** Seconds spent in each kind of stretch. */
export function spent(segments: readonly Segment[]): Readonly<Record<SegmentKind, number>> {
  const sum = { waited: 0, ran: 0, asked: 0, ended: 0 };
  for (const segment of segments) sum[segment.kind] += (segment.to - segment.from) / 1000;
  return sum;
}

interface Run {
  readonly base: { readonly number: number; readonly resume: string };
  readonly from: number;
  readonly events: readonly TaskEvent[];
}

function splitRuns(events: readonly TaskEvent[]): readonly Run[] {
  const runs: { base: Run['base']; from: number; events: TaskEvent[] }[] = [];
  for (const event of events) {
    if (event.type === 'attempt-start') {
      const base = { number: event.attempt, resume: textOf(event.data, 'resume') || 'fresh' };
      runs.push({ base, from: Date.parse(event.created_at), events: [] });
    } else {
      runs.at(-1)?.events.push(event);
    }
  }
  return runs;
}

type End = Pick<Attempt, 'to' | 'ending' | 'code' | 'error' | 'retryInS'>;

const QUIET = { code: '', error: '', retryInS: null } as const;

function endingOfLast(task: Task, events: readonly TaskEvent[]): End {
  if (isFinal(task.status)) {
    const to = Date.parse(task.finished_at ?? task.updated_at);
    if (task.status === 'completed') return { to, ending: 'completed', ...QUIET };
    const why = { code: textOf(task.response_payload, 'code'), error: textOf(task.response_payload, 'error') };
    return { to, ending: task.status === 'failed' ? 'failed' : 'cancelled', ...why, retryInS: null };
  }
  if (task.status === 'processing') return { to: null, ending: 'running', ...QUIET };
  if (task.status === 'waiting') return { to: Date.parse(task.updated_at), ending: 'asked', ...QUIET };
  const said = endingBefore(events, 'rescued');
  return { ...said, to: said.to ?? Date.parse(task.updated_at) };
}

/** How an attempt ended after which another one began, or will begin, for the reason `next`. */
function endingBefore(events: readonly TaskEvent[], next: string): End {
  const closing = events.findLast((event) => event.type in CLOSING);
  const last = events.at(-1);
  const to = closing ? Date.parse(closing.created_at) : last ? Date.parse(last.created_at) : null;
  if (closing !== undefined) return { to, ...(CLOSING[closing.type]?.(closing.data) ?? said('given back')) };
  return { to, ...said(next === 'answered' ? 'asked' : 'given back') };
}

const CLOSING: Readonly<Record<string, (data: JsonObject) => Omit<End, 'to'>>> = {
  'attempt-failed': (data) => ({
    ending: POSTPONED.includes(data.code ?? null) ? 'postponed' : 'failed',
    code: textOf(data, 'code'),
    error: textOf(data, 'error'),
    retryInS: typeof data.retryInS === 'number' ? data.retryInS : null,
  }),
  'human-request': () => said('asked'),
  'client-tool-request': () => said('asked'),
  finish: (data) => said(data.finishReason === 'client-tool-calls' ? 'asked' : 'completed'),
  error: (data) => ({
    ending: 'failed',
    code: textOf(data, 'code'),
    error: textOf(data, 'message'),
    retryInS: null,
  }),
};

function said(ending: Ending): Omit<End, 'to'> {
  return { ending, ...QUIET };
}
