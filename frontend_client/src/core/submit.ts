import { type AnySupabaseClient, type Client, clientOf } from './client.js';
import { failureOf, TaskNotFound, TaskTimeout } from './errors.js';
import { TaskFollower, tell } from './follower.js';
import type { Json, JsonObject } from './json.js';
import { randomId } from './random-id.js';
import type { AgentTaskInsert } from './schema.js';
import { insertTask, requestCancel, selectTask, writeAnswer } from './tables.js';
import { type AgentTask, type AgentTaskPayload, type HumanTask, isFinal } from './task.js';

/** Which client to use instead of the configured one. */
export interface ClientOption {
  readonly supabase?: AnySupabaseClient | undefined;
}

/** What a new task says besides its input; each is a column of `agent_task_requests`. */
export interface TaskColumns {
  /** Which processor answers; `chat` unless you say otherwise. */
  readonly kind?: string | undefined;
  /** Tenant, for fair shares; a session that names its enterprise overrides it. */
  readonly enterpriseId?: string | undefined;
  /** 0 to 5, higher first. */
  readonly priority?: number | undefined;
  /** Not before this time. */
  readonly runAt?: Date | string | undefined;
  /** How often it may be tried, 1 to 25. */
  readonly maxAttempts?: number | undefined;
  /** Limit of one attempt, in seconds; the column `timeout_s`. */
  readonly attemptTimeoutS?: number | undefined;
  /** At most one unfinished task per kind, user and key; another one is refused with DuplicateTask. */
  readonly dedupeKey?: string | undefined;
  /** Owner, for a server that uses the secret key; in a browser it is the session's user. */
  readonly userId?: string | undefined;
}

/** A task to submit: its input, and its columns where the defaults will not do. */
export interface AgentTaskRequest extends TaskColumns {
  /** Id of the task, a UUID; chosen here unless given. */
  readonly id?: string | undefined;
  readonly prompt?: string | undefined;
  readonly context?: Json | undefined;
  /** Fields of the input that have the names of columns, or all of them. */
  readonly payload?: AgentTaskPayload | undefined;
  /** Whatever else the processor reads: each name that is no column is a field of the input. */
  readonly [field: string]: unknown;
}

/** How long to wait for the end of a task. Neither limit stops the task: see `cancelAgentTask`. */
export interface WaitOptions {
  /** Longest wait in milliseconds once the row is there, then TaskTimeout; no limit unless given. */
  readonly timeoutMs?: number | undefined;
  /** Stops the wait; the promise is rejected with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Submit a task and wait for its answer. Nothing is lost on the way: not an answer that is there after 5 ms, not one that
 * comes while the connection is down, and a submission whose reply was lost is not made twice.
 *
 * @param request - The input, and columns such as `kind`; a string is short for `{ prompt: string }`.
 * @param onUpdate - Called with the new row, then with each later version of it: when its status or progress changes.
 * @returns The completed task; the answer is in `response_payload`.
 * @throws TaskRefused, DuplicateTask - The row was not accepted.
 * @throws TaskFailed, TaskCancelled - It ended without an answer.
 * @throws TaskTimeout, TaskNotFound, Unreachable
 *
 * @example
 * ```ts
 * const task = await submitAgentTask({ prompt: 'Say hello in five words.' });
 * console.log(task.response_payload?.answer);
 * ```
 */
export async function submitAgentTask(
  request: string | AgentTaskRequest,
  onUpdate?: (task: AgentTask) => void,
  options: ClientOption & WaitOptions = {},
): Promise<AgentTask> {
  const supabase = clientOf(options);
  const task = await insertTask(supabase, newTask(request), options.signal);
  return outcome(supabase, task, onUpdate, options);
}

/**
 * Submit a task and return its row at once, without waiting for the answer.
 *
 * @throws TaskRefused, DuplicateTask, Unreachable
 *
 * @example
 * ```ts
 * const { id } = await submitAgentTaskAsync({ prompt: 'Sum up the week.', dedupeKey: 'weekly-summary' });
 * ```
 */
export async function submitAgentTaskAsync(
  request: string | AgentTaskRequest,
  options: ClientOption & Pick<WaitOptions, 'signal'> = {},
): Promise<AgentTask> {
  return insertTask(clientOf(options), newTask(request), options.signal);
}

/**
 * Wait for the answer of a task that was submitted earlier, or elsewhere.
 *
 * @throws TaskFailed, TaskCancelled, TaskTimeout, TaskNotFound
 *
 * @example
 * ```ts
 * const task = await waitForAgentTask(id, (task) => console.log(task.status));
 * ```
 */
export async function waitForAgentTask(
  taskId: string,
  onUpdate?: (task: AgentTask) => void,
  options: ClientOption & WaitOptions = {},
): Promise<AgentTask> {
  return outcome(clientOf(options), taskId, onUpdate, options);
}

/**
 * Read a task as it stands now.
 *
 * @throws TaskNotFound, Unreachable
 *
 * @example
 * ```ts
 * const { status, progress } = await getTaskStatus(id);
 * ```
 */
export async function getTaskStatus(taskId: string, options?: ClientOption): Promise<AgentTask> {
  const task = await selectTask(clientOf(options), taskId);
  if (task === null) throw new TaskNotFound(`task ${taskId}`);
  return task;
}

/**
 * Ask for a task to be stopped. What nobody runs yet is `cancelled` at once; what runs is stopped by its worker, and
 * what had ended stays as it was.
 *
 * @returns The task as it is right after the request.
 * @throws TaskNotFound, Unreachable
 *
 * @example
 * ```ts
 * const { status } = await cancelAgentTask(id);
 * ```
 */
export async function cancelAgentTask(taskId: string, options?: ClientOption): Promise<AgentTask> {
  return requestCancel(clientOf(options), taskId);
}

/**
 * Answer a question that a task waits for; the task goes on by itself.
 *
 * @param response - The answer, which follows the question's `form`; for a client tool `{ toolResults: [...] }`.
 * @throws QuestionClosed - Another answer came first, it was withdrawn, or its time is up.
 * @throws TaskNotFound, TaskRefused, Unreachable
 *
 * @example
 * ```ts
 * await answerHumanTask(question.id, { approved: true });
 * ```
 */
export async function answerHumanTask(
  questionId: string,
  response: JsonObject,
  options?: ClientOption,
): Promise<HumanTask> {
  return writeAnswer(clientOf(options), questionId, response);
}

/** The row of a new task; what is not said is left to the table's defaults. */
function newTask(request: string | AgentTaskRequest): AgentTaskInsert & { id: string } {
  const said: AgentTaskRequest = typeof request === 'string' ? { prompt: request } : request;
  const { id, kind, enterpriseId, priority, runAt, maxAttempts, attemptTimeoutS, dedupeKey, userId, ...rest } = said;
  const { payload, ...fields } = rest;
  const columns: { [Column in keyof AgentTaskInsert]: AgentTaskInsert[Column] | undefined } = {
    kind,
    priority,
    enterprise_id: enterpriseId,
    run_at: runAt instanceof Date ? runAt.toISOString() : runAt,
    max_attempts: maxAttempts,
    timeout_s: attemptTimeoutS,
    dedupe_key: dedupeKey,
    user_id: userId,
    request_payload: { ...payload, ...fields },
  };
  const given = Object.entries(columns).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(given) as AgentTaskInsert), id: id ?? randomId() };
}

/** Follow a task until it ends. */
function outcome(
  supabase: Client,
  of: AgentTask | string,
  onUpdate: ((task: AgentTask) => void) | undefined,
  { timeoutMs, signal }: WaitOptions,
): Promise<AgentTask> {
  const [id, row] = typeof of === 'string' ? [of, null] : [of.id, of];
  const follower = TaskFollower.hold(supabase, id, row);
  let told: AgentTask | null = null;
  const waited = new Promise<AgentTask>((resolve, reject) => {
    const look = () => {
      const { task, problem } = follower.state;
      if (task !== null && task !== told) {
        told = task;
        if (onUpdate !== undefined) tell(() => onUpdate(task));
      }
      if (problem !== null) end(() => reject(problem));
      else if (task !== null && isFinal(task)) {
        end(() => (task.status === 'completed' ? resolve(task) : reject(failureOf(task))));
      }
    };
    const abort = () => end(() => reject(signal?.reason));
    const expire = () => end(() => reject(new TaskTimeout(id, timeoutMs ?? 0)));
    const timer = timeoutMs === undefined ? undefined : setTimeout(expire, timeoutMs);
    const stop = follower.subscribe(look);
    const end = (settle: () => void) => {
      clearTimeout(timer);
      stop();
      signal?.removeEventListener('abort', abort);
      settle();
    };
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    else look();
  });
  return waited.finally(() => follower.release());
}
