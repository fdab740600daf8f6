/** A pipeline's run as the tree of the steps it has taken, from its events; see `places.ts` for what is inside what. */
import { around, positionOf } from './places';
import { visibleEvents } from './stream';
import { type Json, type JsonObject, type Status, type TaskEvent, textOf } from './task';

export interface Said {
  readonly type: 'said';
  readonly id: string;
  readonly isReasoning: boolean;
  /** Whether the text is JSON. */
  readonly isJson: boolean;
  text: string;
}

export interface Called {
  readonly type: 'called';
  readonly id: string;
  readonly name: string;
  readonly startedAt: string;
  input: Json;
  output: Json | undefined;
  error: string;
  endedAt: string | null;
}

export interface Remark {
  readonly type: 'remark';
  readonly id: string;
  readonly text: string;
}

export interface Step {
  readonly type: 'step';
  readonly id: string;
  readonly name: string;
  /** Its block; `worker` for a worker that a model called. */
  readonly kind: string;
  readonly workerId: string;
  readonly rounds: readonly number[];
  readonly branch: string;
  readonly seq: number;
  /** When it began for the first time, over all attempts. */
  readonly startedAt: string;
  detail: string;
  endedAt: string | null;
  error: string;
  isWaiting: boolean;
  /** In and out, with all that is inside it; null where no model was called. */
  tokens: number | null;
  readonly parts: Part[];
}

export type Part = Said | Called | Remark | Step;

export interface Run {
  readonly slug: string;
  readonly description: string;
  readonly steps: readonly Step[];
}

/** What the engine says of a step that was cut short. */
const STOPPED = 'It was stopped.';

/**
 * @param events In order of `seq`.
 * @param pending Text that streams after the events and is not among them yet.
 */
export function runOf(events: readonly TaskEvent[], pending = ''): Run {
  const growing = new Growing(events);
  for (const event of visibleEvents(events)) growing.add(event);
  if (pending !== '') growing.hear(pending);
  return growing;
}

/** How a step stands in a task that stands so itself. */
export function stateOf(step: Step, status: Status): Status {
  if (step.error === STOPPED) return 'cancelled';
  if (step.error !== '') return 'failed';
  if (step.endedAt !== null) return 'completed';
  if (status === 'failed' || status === 'cancelled') return status;
  return step.isWaiting || status !== 'processing' ? 'waiting' : 'processing';
}

/** Why a step failed, where no step inside it says the same. */
export function ownError(step: Step): string {
  if (step.error === STOPPED || insideOf(step).some((inner) => inner.error === step.error)) return '';
  return step.error;
}

/** Steps inside a step, in the order of branches and rounds, then in time. */
export function insideOf({ parts }: Step): readonly Step[] {
  const steps = parts.filter((part) => part.type === 'step');
  const branches = [...new Set(steps.map((step) => step.branch))];
  return steps.toSorted(
    (a, b) => branches.indexOf(a.branch) - branches.indexOf(b.branch) || compare(a.rounds, b.rounds) || a.seq - b.seq,
  );
}

export interface Round {
  readonly key: string;
  /** From 1, of the outermost loop first; empty outside of loops. */
  readonly numbers: readonly number[];
  readonly steps: readonly Step[];
}

/** The same steps, those of one round of a loop together. */
export function roundsOf(step: Step): readonly Round[] {
  const rounds = new Map<string, Step[]>();
  for (const inner of insideOf(step)) {
    const key = inner.rounds.length > 0 ? inner.rounds.join('.') : `alone ${inner.id}`;
    rounds.set(key, [...(rounds.get(key) ?? []), inner]);
  }
  return [...rounds].map(([key, steps]) => ({
    key,
    numbers: (steps[0]?.rounds ?? []).map((number) => number + 1),
    steps,
  }));
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (a[index] ?? -1) - (b[index] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}

type Meaning = (growing: Growing, event: TaskEvent) => void;

class Growing implements Run {
  slug = '';
  description = '';
  readonly steps: Step[] = [];
  readonly #byPlace = new Map<string, Step>();
  readonly #texts = new Map<string, Said>();
  readonly #calls = new Map<string, Called>();
  readonly #workers = new Map<string, Step | null>();
  readonly #early = new Map<string, Part[]>();
  readonly #outer = new Map<Step, Step | null>();
  readonly #first = new Map<string, string>();
  #speaking: Said | null = null;

  constructor(events: readonly TaskEvent[]) {
    for (const { type, data, created_at } of events) {
      const id = FIRSTS[type] === undefined ? '' : textOf(data, FIRSTS[type]);
      if (id !== '' && !this.#first.has(id)) this.#first.set(id, created_at);
    }
  }

  add(event: TaskEvent): void {
    MEANINGS[event.type]?.(this, event);
  }

  hear(pending: string): void {
    if (this.#speaking !== null) this.#speaking.text += pending;
  }

  startWorker(event: TaskEvent): void {
    const { data } = event;
    const id = textOf(data, 'workerId');
    const slug = textOf(data, 'workerSlug');
    const owner = this.#owner(event);
    if (owner === null) {
      this.slug = slug;
      this.description = textOf(data, 'description');
    } else if (owner.kind === 'run-worker') owner.detail ||= slug;
    else {
      const known = this.#workers.get(id);
      if (known) {
        known.endedAt = null;
        known.error = '';
      } else this.#workers.set(id, this.#put(this.#step(event, id, slug, 'worker', owner), owner));
      return;
    }
    this.#workers.set(id, owner);
  }

  endWorker({ data, created_at }: TaskEvent): void {
    const worker = this.#workers.get(textOf(data, 'workerId'));
    if (worker?.kind !== 'worker') return;
    worker.endedAt = created_at;
    worker.error = textOf(data, 'error');
  }

  startStep(event: TaskEvent): void {
    const { data } = event;
    const place = textOf(data, 'blockId');
    const known = this.#byPlace.get(place);
    if (known !== undefined) {
      known.endedAt = null;
      known.error = '';
      return;
    }
    const worker = this.#workers.get(textOf(data, 'workerId'));
    let parent = this.#innermost(place);
    if (worker?.kind === 'worker' && parent?.workerId !== textOf(data, 'workerId')) parent = worker;
    const step = this.#step(event, place, textOf(data, 'blockName'), textOf(data, 'blockType'), parent);
    step.parts.push(...(this.#early.get(place) ?? []));
    this.#byPlace.set(place, this.#put(step, parent));
  }

  endStep({ data, created_at }: TaskEvent): void {
    const step = this.#byPlace.get(textOf(data, 'blockId'));
    if (step === undefined) return;
    step.endedAt = created_at;
    step.isWaiting = false;
    step.error = textOf(data, 'error') || step.error;
    const usage = data.usage as JsonObject | undefined;
    step.tokens = typeof usage?.totalTokens === 'number' ? usage.totalTokens : null;
  }

  failStep({ data }: TaskEvent): void {
    const step = this.#byPlace.get(textOf(data, 'blockId'));
    if (step !== undefined) step.error = textOf(data, 'message');
  }

  retryStep({ data, seq }: TaskEvent): void {
    const step = this.#byPlace.get(textOf(data, 'blockId'));
    step?.parts.push({
      type: 'remark',
      id: String(seq),
      text: `Try ${String(data.attempt)} failed: ${textOf(data, 'message')} Again in ${Number(data.delayS).toFixed(1)} s.`,
    });
  }

  park(event: TaskEvent): void {
    for (let step = this.#owner(event); step !== null; step = this.#outer.get(step) ?? null) step.isWaiting = true;
  }

  answer(event: TaskEvent): void {
    const { data } = event;
    const answered = this.#called(event, `answer ${textOf(data, 'key')}`, 'answered');
    answered.output = data.response;
    answered.error = textOf(data, 'error');
    answered.endedAt = event.created_at;
  }

  say(event: TaskEvent): void {
    const isReasoning = event.type.startsWith('reasoning');
    const id = `${isReasoning ? 'reasoning' : 'text'} ${textOf(event.data, 'id')}`;
    let said = this.#texts.get(id);
    if (said === undefined) {
      said = { type: 'said', id, isReasoning, isJson: textOf(event.data, 'responseType') !== '', text: '' };
      this.#texts.set(id, said);
      this.#inside(event).push(said);
    }
    said.text += textOf(event.data, 'delta');
    this.#speaking = event.type === 'text-end' ? null : said;
  }

  call(event: TaskEvent): void {
    const { data, type } = event;
    const id = textOf(data, 'toolCallId');
    const call = this.#calls.get(id) ?? this.#called(event, id, textOf(data, 'title') || textOf(data, 'toolName'));
    this.#calls.set(id, call);
    if (data.input !== undefined) call.input = data.input;
    if (!type.startsWith('tool-output')) return;
    call.output = data.output;
    call.error = textOf(data, 'error');
    call.endedAt = event.created_at;
  }

  #called(event: TaskEvent, id: string, name: string): Called {
    const startedAt = this.#first.get(id) ?? event.created_at;
    const called: Called = {
      type: 'called',
      id,
      name,
      startedAt,
      input: null,
      output: undefined,
      error: '',
      endedAt: null,
    };
    this.#inside(event).push(called);
    return called;
  }

  #step(event: TaskEvent, id: string, name: string, kind: string, parent: Step | null = null): Step {
    return {
      type: 'step',
      id,
      name,
      kind,
      workerId: textOf(event.data, 'workerId'),
      ...positionOf(id, parent?.id ?? ''),
      seq: event.seq,
      startedAt: this.#first.get(id) ?? event.created_at,
      detail: textOf(event.data, 'description'),
      endedAt: null,
      error: '',
      isWaiting: false,
      tokens: null,
      parts: [],
    };
  }

  /** The innermost shown step in which something was said. */
  #owner(event: TaskEvent): Step | null {
    return this.#innermost(placeOf(event));
  }

  /** Where something belongs that was said; it may be kept from an attempt whose step begins again. */
  #inside(event: TaskEvent): Part[] {
    const place = placeOf(event);
    const step = this.#byPlace.get(place);
    if (step !== undefined) return step.parts;
    const parts = this.#early.get(place) ?? [];
    this.#early.set(place, parts);
    return parts;
  }

  #put(step: Step, parent: Step | null): Step {
    this.#outer.set(step, parent);
    (parent?.parts ?? this.steps).push(step);
    return step;
  }

  /** The step of a place, or else the innermost shown one around it. */
  #innermost(place: string): Step | null {
    for (const each of [place, ...around(place)]) {
      const step = this.#byPlace.get(each);
      if (step !== undefined) return step;
    }
    return null;
  }
}

function placeOf({ data }: TaskEvent): string {
  const step = textOf(data, 'step');
  return step.slice(step.indexOf(':') + 1);
}

/** Of what is said again by another attempt, the field that names it. */
const FIRSTS: Readonly<Record<string, string>> = {
  'block-start': 'blockId',
  'tool-input-start': 'toolCallId',
  'worker-start': 'workerId',
};

const say: Meaning = (growing, event) => growing.say(event);
const call: Meaning = (growing, event) => growing.call(event);
const park: Meaning = (growing, event) => growing.park(event);

const MEANINGS: Readonly<Record<string, Meaning>> = {
  'worker-start': (growing, event) => growing.startWorker(event),
  'worker-result': (growing, event) => growing.endWorker(event),
  'block-start': (growing, event) => growing.startStep(event),
  'block-end': (growing, event) => growing.endStep(event),
  'step-failed': (growing, event) => growing.failStep(event),
  'step-retry': (growing, event) => growing.retryStep(event),
  'human-request': park,
  'client-tool-request': park,
  'human-answer': (growing, event) => growing.answer(event),
  'text-start': say,
  'text-delta': say,
  'text-end': say,
  'reasoning-start': say,
  'reasoning-delta': say,
  'reasoning-end': say,
  'tool-input-start': call,
  'tool-input-available': call,
  'tool-output-available': call,
  'tool-output-error': call,
};
