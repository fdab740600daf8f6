import { clientOf } from './client.js';
import { failureOf } from './errors.js';
import type { FollowState } from './follow-state.js';
import { TaskFollower } from './follower.js';
import type { ClientOption } from './submit.js';
import { type AgentTaskEvent, isFinal } from './task.js';

/** Where a stream begins, and what ends it early. */
export interface StreamOptions extends ClientOption {
  readonly signal?: AbortSignal | undefined;
}

/** A piece of streamed text. */
export interface AgentTextPiece {
  /** What to append to the text shown so far. */
  readonly text: string;
  /** The text shown so far is void, because another attempt began: show `text` instead of it. */
  readonly restarted: boolean;
}

/**
 * Yield a task's events in order, those that are there and those that come; ends when the task has completed.
 *
 * `attempt-start` means that what earlier attempts said is void, except events whose `data.step` is in its `keep`.
 *
 * @param options - `afterSeq`: begin after this event, such as the last one that an earlier stream gave.
 * @throws TaskFailed, TaskCancelled - After the last event.
 * @throws TaskNotFound, TaskRefused
 *
 * @example
 * ```ts
 * for await (const event of streamAgentTask(task.id, { afterSeq: lastSeen })) {
 *   console.log(event.seq, event.type);
 * }
 * ```
 */
export async function* streamAgentTask(
  taskId: string,
  options: StreamOptions & { readonly afterSeq?: number | undefined } = {},
): AsyncGenerator<AgentTaskEvent, void, undefined> {
  let seq = options.afterSeq ?? 0;
  for await (const state of states(taskId, options)) {
    while (seq < state.stored.length) {
      const event = state.stored[seq];
      seq += 1;
      if (event !== undefined) yield event;
    }
  }
}

/**
 * Yield a task's text as it comes, token by token where the worker streams by broadcast; ends when the task has completed.
 *
 * @throws TaskFailed, TaskCancelled, TaskNotFound, TaskRefused
 *
 * @example
 * ```ts
 * let shown = '';
 * for await (const piece of streamAgentText(task.id)) shown = piece.restarted ? piece.text : shown + piece.text;
 * ```
 */
export async function* streamAgentText(
  taskId: string,
  options: StreamOptions = {},
): AsyncGenerator<AgentTextPiece, void, undefined> {
  let shown = '';
  for await (const { text } of states(taskId, options)) {
    if (text === shown) continue;
    const restarted = !text.startsWith(shown);
    yield { text: restarted ? text : text.slice(shown.length), restarted };
    shown = text;
  }
}

/** Yield what is known of a task whenever it changes, until all is known; then throw, unless the task completed. */
async function* states(taskId: string, options: StreamOptions): AsyncGenerator<FollowState, void, undefined> {
  const { signal } = options;
  signal?.throwIfAborted();
  const follower = TaskFollower.hold(clientOf(options), taskId);
  let wake = () => {};
  const stop = follower.subscribe(() => wake());
  const abort = () => wake();
  signal?.addEventListener('abort', abort);
  follower.wantEvents();
  try {
    let seen: FollowState | null = null;
    for (;;) {
      signal?.throwIfAborted();
      if (follower.state === seen) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      seen = follower.state;
      yield seen;
      const { task, problem, isDrained } = seen;
      if (problem !== null) throw problem;
      if (task === null || !isFinal(task) || !isDrained) continue;
      if (task.status !== 'completed') throw failureOf(task);
      return;
    }
  } finally {
    stop();
    signal?.removeEventListener('abort', abort);
    follower.release();
  }
}
