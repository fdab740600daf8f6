import { useCallback } from 'react';
import type { AgentTaskError } from '../core/errors.js';
import type { JsonObject } from '../core/json.js';
import { type QuestionListOptions, questionRows } from '../core/live-rows.js';
import { answerHumanTask } from '../core/submit.js';
import type { HumanTask } from '../core/task.js';
import { useRows } from './use-rows.js';

/** What `useHumanTasks` returns. */
export interface UseHumanTasksResult {
  /** The newest first. */
  readonly tasks: readonly HumanTask[];
  readonly isLoading: boolean;
  /** Changes arrive at once; otherwise the list is read every two seconds. */
  readonly isLive: boolean;
  readonly error: AgentTaskError | null;
  readonly refresh: () => void;
  /** Answer a question; its task goes on by itself. Rejects with QuestionClosed when somebody was quicker. */
  readonly answer: (questionId: string, response: JsonObject) => Promise<HumanTask>;
}

/**
 * Show the questions that wait for this user, and answer them. `status` is `pending` unless given.
 *
 * @example
 * ```tsx
 * function Inbox() {
 *   const { tasks, answer } = useHumanTasks();
 *   return tasks.map((task) => (
 *     <button key={task.id} onClick={() => answer(task.id, { approved: true })}>{task.title}</button>
 *   ));
 * }
 * ```
 */
export function useHumanTasks(options: QuestionListOptions = {}): UseHumanTasksResult {
  const { supabase, status = 'pending', taskId, limit } = options;
  const [{ rows, ...state }, list] = useRows(
    () => questionRows({ ...options, status }),
    [supabase, status, taskId, limit],
  );
  const answer = useCallback(
    async (questionId: string, response: JsonObject) => {
      const question = await answerHumanTask(questionId, response, { supabase });
      list.take(question);
      return question;
    },
    [supabase, list],
  );
  return { ...state, tasks: rows, refresh: list.refresh, answer };
}
