import { pause } from '../core/time.js';
import { type Call, type Connection, reasonOf } from './connection.js';
import { Cursor } from './cursor.js';
import { errorEvent, type Failure, lost, refusalOf } from './errors.js';
import type { StreamEvent } from './events.js';
import { DONE, type Frame, FrameReader } from './frames.js';
import { within } from './within.js';

/** Tries for a run that may not have begun. */
const FIRST_TRIES = 3;
/** Tries in a row for a run that is under way: it outlives the restart of a gateway. */
const LATER_TRIES = 9;

/** `Content-Location` names the run before its first event. */
const LOCATION = /\/executions\/([0-9a-f-]{36})$/i;

/**
 * Reads a run, leg by leg, over as many connections as it takes.
 *
 * A connection that breaks or falls silent is made anew: behind the run's last event, once the leg has one, and before
 * by the same request, which does no harm twice: a start has its idempotency key, and a continuation its tool calls.
 */
export class LegReader {
  /** The run, as soon as it is known. */
  executionId: string | null = null;
  readonly #connection: Connection;
  readonly #path: string;
  readonly #signal: AbortSignal;
  readonly #cursor = new Cursor();
  #hangUp = new AbortController();
  #opening: Promise<Response> | null = null;
  #frames: FrameReader | null = null;

  /**
   * @param path - The agent's, such as `/api/agents/research`.
   * @param signal - Ends every wait, but no connection: `stop` or `leave` must follow.
   */
  constructor(connection: Connection, path: string, signal: AbortSignal) {
    this.#connection = connection;
    this.#path = path;
    this.#signal = signal;
  }

  /**
   * Yield the events of the leg that a request begins, each once; a failure is an `error` event. Ends without a word
   * when the signal is aborted.
   */
  async *leg(begin: Call): AsyncGenerator<StreamEvent, void, undefined> {
    let phase: Phase = 'open';
    let failures = 0;
    let hasBegun = false;
    this.#cursor.advance();
    for (let call = begin; ; call = hasBegun ? this.#resumption() : begin) {
      let failure = await this.#open(call);
      while (failure === null) {
        const next = await this.#next();
        if (this.#signal.aborted) return;
        if ('isWorthRetrying' in next) failure = next;
        else if (next.data !== DONE) {
          const event = parse(next);
          if (event === null) failure = lost('The stream holds something that is no event.');
          else if (this.#cursor.take(next)) {
            failures = 0;
            hasBegun = true;
            phase = phaseAfter(event, phase);
            if (event.type === 'start') this.executionId = event.executionId ?? this.executionId;
            yield event;
          }
        } else if (phase === 'open') failure = lost('The stream ended before the run did.');
        else return;
      }
      if (this.#signal.aborted || phase === 'over') return;
      this.leave();
      failures += 1;
      const isLost = hasBegun && this.executionId === null; // Nobody could be asked for the rest.
      const tries = this.executionId === null ? FIRST_TRIES : LATER_TRIES;
      if (!failure.isWorthRetrying || isLost || failures >= tries) {
        if (phase === 'open') yield errorEvent(failure);
        return;
      }
      await pause(this.#connection.delayMs(failures, failure), this.#signal).catch(() => {});
      if (this.#signal.aborted) return;
    }
  }

  /** Have the run stopped; resolves when the gateway has been told, or cannot be. */
  async stop(): Promise<void> {
    const { stopMs } = this.#connection.pace;
    const never = new AbortController().signal;
    try {
      const id = this.executionId ?? (await within(this.#learnId(), stopMs, never));
      this.leave();
      if (id === null) return;
      const path = `${this.#path}/executions/${id}/cancel`;
      await within(this.#connection.json({ method: 'POST', path }, 3), stopMs, never);
    } catch {
      // Nobody could be told: the run goes on until it ends, or one of its limits does.
    } finally {
      this.leave();
    }
  }

  /** Hang up; the run goes on. */
  leave(): void {
    this.#frames?.close();
    this.#frames = null;
    this.#opening = null;
    this.#hangUp.abort();
  }

  /** Make a connection; returns why there is none, or null. */
  async #open(call: Call): Promise<Failure | null> {
    const send = await this.#connection.prepare(call);
    this.#hangUp = new AbortController();
    try {
      this.#opening = send(this.#hangUp.signal);
      const response = await this.#bounded(this.#opening);
      if (!response.ok) return await this.#bounded(refusalOf(response));
      if (response.body === null) return lost('The answer is empty.');
      this.executionId ??= located(response);
      this.#frames = new FrameReader(response.body);
      return null;
    } catch (error) {
      return lost(reasonOf(error));
    }
  }

  async #next(): Promise<Frame | Failure> {
    try {
      const frame = await this.#frames?.next((chunk) => this.#bounded(chunk));
      return frame ?? lost('The connection was closed.');
    } catch (error) {
      return lost(reasonOf(error));
    }
  }

  /** The request that goes on where the last connection broke. */
  #resumption(): Call {
    const path = `${this.#path}/executions/${this.executionId}/events?cursor=${this.#cursor.rewind()}&audience=server`;
    return { method: 'GET', path, accept: 'text/event-stream' };
  }

  /** Wait for the connection that is being made to say which run it is. */
  async #learnId(): Promise<string | null> {
    const response = await this.#opening;
    if (!response?.ok || response.body === null) return null;
    const id = located(response);
    if (id !== null) return id;
    this.#frames ??= new FrameReader(response.body);
    for (;;) {
      const frame = await this.#frames.next();
      const event = frame === null ? null : parse(frame);
      if (event === null) return null;
      if (event.type === 'start') return event.executionId ?? null;
    }
  }

  #bounded<Value>(promise: Promise<Value>): Promise<Value> {
    return within(promise, this.#connection.pace.idleMs, this.#signal);
  }
}

/** `ended`: the terminal event is there, and `usage` may follow; `over`: nothing follows. */
type Phase = 'open' | 'ended' | 'over';

function located(response: Response): string | null {
  return LOCATION.exec(response.headers.get('content-location') ?? '')?.[1] ?? null;
}

function phaseAfter(event: StreamEvent, phase: Phase): Phase {
  if (event.type === 'finish') return event.finishReason === 'stop' ? 'ended' : 'over';
  return event.type === 'error' || event.type === 'usage' ? 'over' : phase;
}

/** Read a frame; null unless it is an event. */
function parse({ data }: Frame): StreamEvent | null {
  try {
    const event: unknown = JSON.parse(data);
    // The gateway is trusted with the fields; types that are newer than this package pass through.
    return typeof (event as StreamEvent | null)?.type === 'string' ? (event as StreamEvent) : null;
  } catch {
    return null;
  }
}
