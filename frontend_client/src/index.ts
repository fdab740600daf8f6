export { type AgentTasks, createAgentTasks } from './core/bound.js';
export { type AnySupabaseClient, configureAgentWorker } from './core/client.js';
export {
  AgentTaskError,
  DuplicateTask,
  NotConfigured,
  QuestionClosed,
  TaskCancelled,
  TaskFailed,
  TaskNotFound,
  TaskRefused,
  TaskTimeout,
  Unreachable,
} from './core/errors.js';
export type { Json, JsonObject } from './core/json.js';
export {
  type QuestionListOptions,
  subscribeToAgentTasks,
  type TaskListOptions,
} from './core/live-rows.js';
export { type AgentTextPiece, type StreamOptions, streamAgentTask, streamAgentText } from './core/stream.js';
export {
  type AgentTaskRequest,
  answerHumanTask,
  type ClientOption,
  cancelAgentTask,
  getTaskStatus,
  submitAgentTask,
  submitAgentTaskAsync,
  type TaskColumns,
  type WaitOptions,
  waitForAgentTask,
} from './core/submit.js';
export {
  type AgentTask,
  type AgentTaskEvent,
  type AgentTaskEventData,
  type AgentTaskPayload,
  type AgentTaskProgress,
  type AgentTaskResponse,
  type AgentTaskStatus,
  type HumanTask,
  isEvent,
  isFinal,
} from './core/task.js';
