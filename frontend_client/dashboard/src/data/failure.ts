/** What went wrong, in a sentence for people and a code for programs. */
export class RequestFailed extends Error {
  /** SQLSTATE, a code of PostgREST, or `offline` where nobody answered. */
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.name = 'RequestFailed';
    this.code = code;
  }
}

interface Answer<T> {
  readonly data: T;
  readonly error: { readonly message: string; readonly code?: string; readonly hint?: string | null } | null;
  readonly status: number;
}

/** Return the data of an answer or throw what is wrong with it. */
export function unwrap<T>({ data, error, status }: Answer<T>): NonNullable<T> {
  if (error !== null) throw toFailure(error, status);
  if (data === null || data === undefined) throw new RequestFailed('The answer was empty.', 'empty');
  return data;
}

/** Throw what is wrong with an answer that has no data. */
export function expectDone({ error, status }: Omit<Answer<unknown>, 'data'>): void {
  if (error !== null) throw toFailure(error, status);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function isOffline(error: unknown): boolean {
  return error instanceof RequestFailed && error.code === 'offline';
}

function toFailure(error: NonNullable<Answer<unknown>['error']>, status: number): RequestFailed {
  const code = error.code ?? '';
  if (status === 0 || status === 502 || status === 503 || status === 504) {
    return new RequestFailed('The gateway does not answer.', 'offline');
  }
  if (code === '57014') return new RequestFailed('This took too long. Look at less: add since:1h.', code);
  if (code === '42501') return new RequestFailed('You may not do this; it needs an operator.', code);
  return new RequestFailed(error.hint ? `${error.message} ${error.hint}` : error.message, code);
}
