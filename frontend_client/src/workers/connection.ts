import { pause } from '../core/time.js';
import { type Failure, lost, refusalOf, WorkerError } from './errors.js';

/** Where the gateway is, and who asks. */
export interface ConnectionOptions {
  /** The gateway's address, such as `http://127.0.0.1:54321`. */
  readonly baseUrl: string;
  /** A secret key on a server; in a browser the publishable key, beside the user's token. */
  readonly apiKey?: string | undefined;
  /** The user's token, or a function that is asked for it before each request. */
  readonly accessToken?: string | (() => string | Promise<string>) | undefined;
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
}

/** How long to wait, in milliseconds. */
export interface Pace {
  /** A connection that is silent for so long is broken; the gateway says something every 15 s. */
  readonly idleMs: number;
  /** Before the first repetition; each further one waits twice as long, and all of them a quarter more or less. */
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
  /** How long a stopped run is told so, at most. */
  readonly stopMs: number;
}

const PACE: Pace = { idleMs: 60_000, firstDelayMs: 1000, longestDelayMs: 8000, stopMs: 5000 };

/** One request. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly accept?: 'text/event-stream' | undefined;
  readonly idempotencyKey?: string | undefined;
}

/** Sends a request that is ready to be sent; rejects when nobody answers. */
export type Send = (signal: AbortSignal) => Promise<Response>;

/** Knows the address, the keys and how long to wait. */
export class Connection {
  readonly pace: Pace;
  readonly #options: ConnectionOptions;
  readonly #base: string;

  constructor(options: ConnectionOptions, pace: Partial<Pace> = {}) {
    this.#options = options;
    this.#base = options.baseUrl.replace(/\/+$/, '');
    this.pace = { ...PACE, ...pace };
  }

  /** Make a request ready; rejects only with what `accessToken` throws. */
  async prepare({ method, path, body, accept, idempotencyKey }: Call): Promise<Send> {
    const { accessToken, apiKey } = this.#options;
    const token = typeof accessToken === 'function' ? await accessToken() : accessToken;
    const bearer = token || apiKey; // A visitor who has not signed in has no token, or an empty one.
    const headers = {
      accept: accept ?? 'application/json',
      ...(apiKey !== undefined && { apikey: apiKey }),
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    const send = this.#options.fetch ?? fetch;
    return (signal) => send(this.#base + path, { ...init, signal });
  }

  /**
   * Send a request and read the JSON it is answered with.
   *
   * @param tries - 3 for requests that may be sent again when it is not known whether they arrived.
   * @throws WorkerError
   */
  async json<Reply>(call: Call, tries: 1 | 3): Promise<Reply> {
    for (let failures = 1; ; failures += 1) {
      const answer = await this.#ask(await this.prepare(call));
      if ('body' in answer) return answer.body as Reply;
      if (!answer.isWorthRetrying || failures >= tries) throw new WorkerError(answer.message, answer);
      await pause(this.delayMs(failures, answer));
    }
  }

  /** How long to wait after so many failures: as long as the server asks for, within bounds. */
  delayMs(failures: number, { retryAfter }: Failure): number {
    const { firstDelayMs, longestDelayMs } = this.pace;
    if (retryAfter !== undefined) return Math.min(retryAfter * 1000, longestDelayMs);
    return Math.min(firstDelayMs * 2 ** (failures - 1), longestDelayMs) * (0.75 + Math.random() / 2);
  }

  async #ask(send: Send): Promise<{ readonly body: unknown } | Failure> {
    const hangUp = new AbortController();
    const timer = setTimeout(() => hangUp.abort(), this.pace.idleMs);
    try {
      const response = await send(hangUp.signal);
      if (!response.ok) return await refusalOf(response);
      const text = await response.text();
      return { body: text === '' ? null : JSON.parse(text) };
    } catch (error) {
      return lost(reasonOf(error));
    } finally {
      clearTimeout(timer);
    }
  }
}

/** What `fetch` says of a failure; Node.js hides the reason in the cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
