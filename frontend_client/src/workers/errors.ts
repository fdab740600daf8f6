import type { ErrorType, ProviderFailure, StreamEventOf } from './events.js';

/** What is known of a failure beside its sentence. */
export interface FailureDetails {
  readonly errorType: ErrorType;
  readonly source: 'platform' | 'provider' | 'tool' | 'client';
  /** Stable name to branch on; the type where there is no other. */
  readonly code: string;
  /** Whether the same call could succeed later. */
  readonly retryable: boolean;
  /** Seconds to wait before it. */
  readonly retryAfter?: number | undefined;
  /** The HTTP status, where an answer was the failure. */
  readonly status?: number | undefined;
  /** The run, once there is one. */
  readonly executionId?: string | undefined;
  readonly provider?: ProviderFailure | undefined;
  readonly tool?: { readonly name: string; readonly callId?: string } | undefined;
}

/**
 * A run or a request that failed, thrown where no stream can tell it.
 *
 * @example
 * ```ts
 * try {
 *   await client.workers.generate('research', { TOPIC: 'tea' });
 * } catch (error) {
 *   if (error instanceof WorkerError && error.retryable) console.log(`again in ${error.retryAfter ?? 1} s`);
 * }
 * ```
 */
export class WorkerError extends Error implements FailureDetails {
  override readonly name = 'WorkerError';
  readonly errorType: ErrorType;
  readonly source: FailureDetails['source'];
  readonly code: string;
  readonly retryable: boolean;
  readonly retryAfter: number | undefined;
  readonly status: number | undefined;
  readonly executionId: string | undefined;
  readonly provider: ProviderFailure | undefined;
  readonly tool: FailureDetails['tool'];

  constructor(message: string, details: FailureDetails) {
    super(message);
    this.errorType = details.errorType;
    this.source = details.source;
    this.code = details.code;
    this.retryable = details.retryable;
    this.retryAfter = details.retryAfter;
    this.status = details.status;
    this.executionId = details.executionId;
    this.provider = details.provider;
    this.tool = details.tool;
  }
}

/**
 * Whether something was thrown because its signal was aborted.
 *
 * @example
 * ```ts
 * try {
 *   await client.workers.generate('research', { TOPIC: 'tea' }, { signal: AbortSignal.timeout(30_000) });
 * } catch (error) {
 *   if (!isAbortError(error)) throw error;
 * }
 * ```
 */
export function isAbortError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && error.name === 'AbortError';
}

/** The error of a call whose signal was aborted; `cause` is the signal's reason. */
export function abortError(reason: unknown): Error {
  const error = new Error('The run was stopped.', { cause: reason });
  error.name = 'AbortError';
  return error;
}

/** Why a request came to nothing. */
export interface Failure extends FailureDetails {
  readonly message: string;
  /** Whether the client itself sends the request again. */
  readonly isWorthRetrying: boolean;
}

/** Nobody answered, or the connection broke. */
export function lost(message: string): Failure {
  return {
    message,
    errorType: 'internal_error',
    source: 'client',
    code: 'connection_lost',
    retryable: true,
    isWorthRetrying: true,
  };
}

const RETRIED = new Set([408, 429, 502, 503, 504]);
const TYPES: Readonly<Record<number, ErrorType>> = {
  400: 'validation_error',
  401: 'authentication_error',
  402: 'quota_exceeded_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
  503: 'provider_overloaded',
  504: 'provider_timeout',
};

/** Read what an answer that is no success says. */
export async function refusalOf(response: Response): Promise<Failure> {
  const { status } = response;
  const { message, code } = readBody(await response.text().catch(() => ''));
  const errorType = TYPES[status] ?? (status >= 500 ? 'internal_error' : 'unknown_error');
  return {
    message: message ?? (response.statusText || `The server answered with ${status}.`),
    errorType,
    source: 'platform',
    code: code ?? errorType,
    retryable: status === 429 || status >= 500,
    retryAfter: secondsOf(response.headers.get('retry-after')),
    status,
    isWorthRetrying: RETRIED.has(status),
  };
}

/** The event that tells a failure in a stream. */
export function errorEvent(failure: Failure): StreamEventOf<'error'> {
  const { message, errorType, source, code, retryable, retryAfter } = failure;
  const event = { type: 'error', errorType, message, retryable, source, code } as const;
  return retryAfter === undefined ? event : { ...event, retryAfter };
}

/** Read `{"error": "…", "code": "…"}`; what stands before the agents API may answer in other shapes. */
function readBody(text: string): { message?: string; code?: string } {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return {};
  }
  const { error, message = error, code } = { ...(body as Record<string, unknown> | null) };
  if (typeof error === 'object' && error !== null) return readBody(JSON.stringify(error));
  return { ...(typeof message === 'string' && { message }), ...(typeof code === 'string' && { code }) };
}

/** Read `Retry-After`: seconds, or a date. */
function secondsOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
}
