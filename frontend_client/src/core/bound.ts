import { type AnySupabaseClient, clientOf } from './client.js';
import { subscribeToAgentTasks } from './live-rows.js';
import { streamAgentTask, streamAgentText } from './stream.js';
import {
  answerHumanTask,
  cancelAgentTask,
  getTaskStatus,
  submitAgentTask,
  submitAgentTaskAsync,
  waitForAgentTask,
} from './submit.js';

/** The functions of this package over one client. */
export interface AgentTasks {
  readonly submit: typeof submitAgentTask;
  readonly submitAsync: typeof submitAgentTaskAsync;
  readonly wait: typeof waitForAgentTask;
  readonly status: typeof getTaskStatus;
  readonly cancel: typeof cancelAgentTask;
  readonly stream: typeof streamAgentTask;
  readonly streamText: typeof streamAgentText;
  readonly subscribe: typeof subscribeToAgentTasks;
  readonly answer: typeof answerHumanTask;
}

/**
 * The functions of this package over one client, for an app that has several, or a server that has one per request.
 *
 * @example
 * ```ts
 * const tasks = createAgentTasks(supabase);
 * const task = await tasks.submit('Say hello in five words.');
 * ```
 */
export function createAgentTasks(client: AnySupabaseClient): AgentTasks {
  const supabase = clientOf({ supabase: client });
  return {
    submit: (request, onUpdate, options) => submitAgentTask(request, onUpdate, { supabase, ...options }),
    submitAsync: (request, options) => submitAgentTaskAsync(request, { supabase, ...options }),
    wait: (id, onUpdate, options) => waitForAgentTask(id, onUpdate, { supabase, ...options }),
    status: (id, options) => getTaskStatus(id, { supabase, ...options }),
    cancel: (id, options) => cancelAgentTask(id, { supabase, ...options }),
    stream: (id, options) => streamAgentTask(id, { supabase, ...options }),
    streamText: (id, options) => streamAgentText(id, { supabase, ...options }),
    subscribe: (onChange, options) => subscribeToAgentTasks(onChange, { supabase, ...options }),
    answer: (id, response, options) => answerHumanTask(id, response, { supabase, ...options }),
  };
}
