/*
 * AgentTaskError            code
 * ├── NotConfigured         not_configured    nobody said which Supabase client to use
 * ├── Unreachable           unreachable       no answer, or a server error; trying again may help
 * ├── TaskRefused           the SQLSTATE or PostgREST code; the row breaks a rule, `hint` says what to do
 * │   ├── DuplicateTask     23505             this id exists, or an unfinished task has the same dedupe key
 * │   └── QuestionClosed    PT409             a question that takes no answer any more
 * ├── TaskNotFound          task_not_found    deleted, or not this user's
 * ├── TaskTimeout           wait_timeout      it goes on, but nobody waits for it here any more
 * └── TaskFailed            the code in response_payload, see docs/errors.md
 *     └── TaskCancelled     cancelled
 */
import type { AgentTask } from './task.js';

/**
 * What every function of this package throws.
 *
 * @example
 * ```ts
 * try {
 *   await submitAgentTask({ prompt: 'Hello' });
 * } catch (error) {
 *   if (error instanceof AgentTaskError && error.code === 'rate_limited') console.log('a little later');
 * }
 * ```
 */
export class AgentTaskError extends Error {
  override readonly name: string = 'AgentTaskError';

  constructor(
    message: string,
    /** Stable name to branch on; sentences may change. */
    readonly code: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Nobody said which Supabase client to use. */
export class NotConfigured extends AgentTaskError {
  override readonly name = 'NotConfigured';

  constructor() {
    super(
      'agent-worker has no Supabase client · call configureAgentWorker({ supabase }) where your app creates its client',
      'not_configured',
    );
  }
}

/** Nobody answered, or a server failed; the same call may succeed later. */
export class Unreachable extends AgentTaskError {
  override readonly name = 'Unreachable';

  constructor(message: string, options?: ErrorOptions) {
    super(message, 'unreachable', options);
  }
}

/** The database refused: `code` is its SQLSTATE or PostgREST's code. */
export class TaskRefused extends AgentTaskError {
  override readonly name: string = 'TaskRefused';

  constructor(
    message: string,
    code: string,
    /** What to do about it, where the database says so. */
    readonly hint: string | null = null,
    options?: ErrorOptions,
  ) {
    super(message, code, options);
  }
}

/** A task with this id exists, or an unfinished one has the same kind, user and dedupe key. */
export class DuplicateTask extends TaskRefused {
  override readonly name = 'DuplicateTask';
}

/** The question was answered, withdrawn, or its time is up. */
export class QuestionClosed extends TaskRefused {
  override readonly name = 'QuestionClosed';
}

/** There is no such task or question, or it is not this user's. */
export class TaskNotFound extends AgentTaskError {
  override readonly name = 'TaskNotFound';

  constructor(what: string) {
    super(`there is no ${what}, or it is not yours`, 'task_not_found');
  }
}

/** The wait is over, the task is not: it goes on. */
export class TaskTimeout extends AgentTaskError {
  override readonly name = 'TaskTimeout';

  constructor(
    readonly taskId: string,
    timeoutMs: number,
  ) {
    super(`the task has not ended within ${timeoutMs / 1000} s; it goes on`, 'wait_timeout');
  }
}

/** The task failed; `code` is that of its `response_payload`. */
export class TaskFailed extends AgentTaskError {
  override readonly name: string = 'TaskFailed';
  /** Whether the same request could succeed later. */
  readonly retryable: boolean;

  constructor(readonly task: AgentTask) {
    const { error, code, retryable } = task.response_payload ?? {};
    super(error ?? `The task ${task.status}.`, code ?? task.status);
    this.retryable = retryable ?? false;
  }
}

/** Somebody stopped the task. */
export class TaskCancelled extends TaskFailed {
  override readonly name = 'TaskCancelled';
}

/** The error of a task that ended without an answer. */
export function failureOf(task: AgentTask): TaskFailed {
  return task.status === 'cancelled' ? new TaskCancelled(task) : new TaskFailed(task);
}

/** What PostgREST's client returns beside `data`. */
export interface Refusal {
  readonly message: string;
  readonly code?: string;
  readonly hint?: string | null;
}

/** The error for a refused request; `status` is 0 where no answer came. */
export function errorOf(refusal: Refusal, status: number): AgentTaskError {
  const code = refusal.code ?? '';
  if (code === 'PT409') return new QuestionClosed(refusal.message, code, refusal.hint, { cause: refusal });
  if (code === '23505') return new DuplicateTask(refusal.message, code, refusal.hint, { cause: refusal });
  if (status === 0 || status === 408 || status === 429 || status >= 500) {
    return new Unreachable(refusal.message, { cause: refusal });
  }
  return new TaskRefused(refusal.message, code || String(status), refusal.hint, { cause: refusal });
}

/** Anything thrown, as one of ours. */
export function asTaskError(thrown: unknown): AgentTaskError {
  if (thrown instanceof AgentTaskError) return thrown;
  return new Unreachable(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
}
