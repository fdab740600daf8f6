import { useEffect, useState, useSyncExternalStore } from 'react';
import { IDLE, type SessionOptions, type SessionState, TaskSession } from '../core/session.js';

/** Options of `useAgentTask`; they may be other ones at each render. */
export type UseAgentTaskOptions = SessionOptions;

/** What `useAgentTask` returns. The three functions stay the same ones for the life of the component. */
export interface UseAgentTaskResult extends SessionState {
  readonly submitTask: TaskSession['submitTask'];
  readonly cancel: TaskSession['cancel'];
  readonly reset: TaskSession['reset'];
}

/**
 * Submit tasks and show how the newest one goes: its row, its text as it streams, its end.
 *
 * @example
 * ```tsx
 * function Ask() {
 *   const { submitTask, isProcessing, text, error } = useAgentTask({ enterpriseId: 'acme' });
 *   return (
 *     <button disabled={isProcessing} onClick={() => submitTask({ prompt: 'Say hello.' })}>
 *       {error?.message ?? (text || 'Ask')}
 *     </button>
 *   );
 * }
 * ```
 */
export function useAgentTask(options: UseAgentTaskOptions = {}): UseAgentTaskResult {
  const [session] = useState(() => new TaskSession(options));
  const state = useSyncExternalStore(session.subscribe, session.snapshot, () => IDLE);
  useEffect(() => {
    session.options = options;
  });
  useEffect(() => session.mount(), [session]);
  return { ...state, submitTask: session.submitTask, cancel: session.cancel, reset: session.reset };
}
