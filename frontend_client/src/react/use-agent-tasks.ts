import type { AgentTaskError } from '../core/errors.js';
import { type TaskListOptions, taskRows } from '../core/live-rows.js';
import type { AgentTask } from '../core/task.js';
import { useRows } from './use-rows.js';

/** What `useAgentTasks` returns. */
export interface UseAgentTasksResult {
  /** The newest first. */
  readonly tasks: readonly AgentTask[];
  readonly isLoading: boolean;
  /** Changes arrive at once; otherwise the list is read every two seconds. */
  readonly isLive: boolean;
  readonly error: AgentTaskError | null;
  readonly refresh: () => void;
}

/**
 * Show this user's newest tasks, kept current.
 *
 * @example
 * ```tsx
 * function Open() {
 *   const { tasks } = useAgentTasks({ status: ['pending', 'processing', 'waiting'] });
 *   return <ul>{tasks.map((task) => <li key={task.id}>{task.request_payload.prompt}</li>)}</ul>;
 * }
 * ```
 */
export function useAgentTasks(options: TaskListOptions = {}): UseAgentTasksResult {
  const { supabase, kind, enterpriseId, limit } = options;
  const [{ rows, ...state }, list] = useRows(
    () => taskRows(options),
    [supabase, kind, enterpriseId, limit, String(options.status)],
  );
  return { ...state, tasks: rows, refresh: list.refresh };
}
