import { clientOf } from './client.js';
import { type AgentTaskError, asTaskError, failureOf, TaskTimeout } from './errors.js';
import { TaskFollower, tell } from './follower.js';
import {
  type AgentTaskRequest,
  type ClientOption,
  cancelAgentTask,
  submitAgentTaskAsync,
  type TaskColumns,
} from './submit.js';
import { type AgentTask, type AgentTaskEvent, isFinal } from './task.js';

/** Columns of the tasks that a session submits, and what it does with them. */
export interface SessionOptions extends TaskColumns, ClientOption {
  /** Called once for each task, when it has completed. */
  readonly onComplete?: ((task: AgentTask) => void) | undefined;
  /** Called once for each task that was refused, failed, was cancelled, or took longer than `timeoutMs`. */
  readonly onError?: ((error: AgentTaskError) => void) | undefined;
  /** Called with the new row, and each time the status is another one. */
  readonly onStatusChange?: ((task: AgentTask) => void) | undefined;
  /** Whether to follow the task; true unless said otherwise. */
  readonly autoSubscribe?: boolean | undefined;
  /** Longest wait in milliseconds once the row is there; then `error` is a TaskTimeout, and the task goes on unseen. */
  readonly timeoutMs?: number | undefined;
}

/** What a session shows. */
export interface SessionState {
  /** The row is on its way to the table. */
  readonly isSubmitting: boolean;
  /** The task is there, and followed, and has not ended. */
  readonly isProcessing: boolean;
  readonly currentTask: AgentTask | null;
  /** The answer as far as it has come; what a failed attempt said is taken away again. */
  readonly text: string;
  /** Events of the task that still stand. */
  readonly events: readonly AgentTaskEvent[];
  readonly error: AgentTaskError | null;
}

interface Run {
  task: AgentTask;
  follower: TaskFollower | null;
  stop: () => void;
  timer: ReturnType<typeof setTimeout> | undefined;
  deadline: number;
  hasSettled: boolean;
}

export const IDLE: SessionState = {
  isSubmitting: false,
  isProcessing: false,
  currentTask: null,
  text: '',
  events: [],
  error: null,
};

/**
 * One task after another, as a component shows them: the newest submission is the one that is shown. Callbacks are
 * called here and not by a framework's effects, so each comes exactly once.
 */
export class TaskSession {
  /** Read whenever something happens, so that a component may replace them at any time. */
  options: SessionOptions;
  #state: SessionState = IDLE;
  #run: Run | null = null;
  #submission = 0;
  #isMounted = false;
  readonly #listeners = new Set<() => void>();

  constructor(options: SessionOptions) {
    this.options = options;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): SessionState => this.#state;

  /** Begin to show; goes on with a task that was left. Returns how to stop. */
  readonly mount = (): (() => void) => {
    this.#isMounted = true;
    if (this.#run !== null) this.#follow(this.#run);
    return () => {
      this.#isMounted = false;
      if (this.#run !== null) letGo(this.#run);
    };
  };

  /**
   * Submit a task; it becomes the current one. Resolves with its row as soon as that is there, or with null when it was
   * refused: then `error` says why. Never rejects.
   */
  readonly submitTask = async (request: string | AgentTaskRequest): Promise<AgentTask | null> => {
    this.reset();
    const submission = this.#submission;
    this.#show({ isSubmitting: true });
    try {
      const task = await submitAgentTaskAsync({ ...columnsOf(this.options), ...withInput(request) }, this.options);
      if (submission === this.#submission) this.#begin(task);
      return task;
    } catch (thrown) {
      if (submission === this.#submission) this.#fail(asTaskError(thrown));
      return null;
    }
  };

  /** Ask for the current task to be stopped. Never rejects: what goes wrong is in `error`. */
  readonly cancel = async (): Promise<void> => {
    const { currentTask } = this.#state;
    if (currentTask === null || isFinal(currentTask)) return;
    const submission = this.#submission;
    try {
      const task = await cancelAgentTask(currentTask.id, this.options);
      if (submission !== this.#submission) return;
      if (this.#run === null || this.#run.hasSettled) this.#show({ currentTask: task });
      else this.#run.follower?.look();
    } catch (thrown) {
      if (submission === this.#submission) this.#show({ error: asTaskError(thrown) });
    }
  };

  /** Forget the current task; it goes on unseen. */
  readonly reset = (): void => {
    this.#submission += 1;
    if (this.#run !== null) letGo(this.#run);
    this.#run = null;
    this.#show(IDLE);
  };

  #begin(task: AgentTask): void {
    const { autoSubscribe = true, timeoutMs } = this.options;
    this.#show({ isSubmitting: false, currentTask: task, isProcessing: autoSubscribe });
    this.#tellStatus(task);
    if (!autoSubscribe) return;
    const deadline = timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs;
    this.#run = { task, follower: null, stop: () => {}, timer: undefined, deadline, hasSettled: false };
    if (this.#isMounted) this.#follow(this.#run);
  }

  #follow(run: Run): void {
    if (run.follower !== null) return;
    const follower = TaskFollower.hold(clientOf(this.options), run.task.id, run.task);
    run.follower = follower;
    run.stop = follower.subscribe(() => this.#update(run, follower));
    if (!run.hasSettled && Number.isFinite(run.deadline)) {
      run.timer = setTimeout(() => this.#expire(run), Math.max(0, run.deadline - Date.now()));
    }
    follower.wantEvents();
    this.#update(run, follower);
  }

  #update(run: Run, follower: TaskFollower): void {
    if (run !== this.#run || run.follower !== follower) return;
    const { task, text, events, problem } = follower.state;
    const before = run.task;
    run.task = task ?? before;
    const isProcessing = !run.hasSettled && problem === null && !isFinal(run.task);
    this.#show({ currentTask: run.task, text, events, isProcessing });
    if (run.task.status !== before.status) this.#tellStatus(run.task);
    if (run !== this.#run || run.hasSettled) return;
    if (problem !== null) this.#settle(run, problem);
    else if (isFinal(run.task)) this.#settle(run, run.task.status === 'completed' ? null : failureOf(run.task));
  }

  #expire(run: Run): void {
    this.#settle(run, new TaskTimeout(run.task.id, this.options.timeoutMs ?? 0));
    letGo(run);
  }

  #settle(run: Run, error: AgentTaskError | null): void {
    run.hasSettled = true;
    clearTimeout(run.timer);
    const { onComplete } = this.options;
    if (error !== null) this.#fail(error);
    else if (onComplete !== undefined) tell(() => onComplete(run.task));
  }

  #fail(error: AgentTaskError): void {
    this.#show({ isSubmitting: false, isProcessing: false, error });
    const { onError } = this.options;
    if (onError !== undefined && this.#isMounted) tell(() => onError(error));
  }

  #tellStatus(task: AgentTask): void {
    const { onStatusChange } = this.options;
    if (onStatusChange !== undefined && this.#isMounted) tell(() => onStatusChange(task));
  }

  #show(change: Partial<SessionState>): void {
    const next = { ...this.#state, ...change };
    const keys = Object.keys(next) as (keyof SessionState)[];
    if (keys.every((key) => next[key] === this.#state[key])) return;
    this.#state = next;
    for (const listener of [...this.#listeners]) listener();
  }
}

function columnsOf(options: SessionOptions): TaskColumns {
  const { kind, enterpriseId, priority, runAt, maxAttempts, attemptTimeoutS, dedupeKey, userId } = options;
  return { kind, enterpriseId, priority, runAt, maxAttempts, attemptTimeoutS, dedupeKey, userId };
}

function withInput(request: string | AgentTaskRequest): AgentTaskRequest {
  return typeof request === 'string' ? { prompt: request } : request;
}

function letGo(run: Run): void {
  clearTimeout(run.timer);
  run.stop();
  run.follower?.release();
  run.follower = null;
}
