export {
  type Agent,
  type AgentChanged,
  type AgentDefinition,
  type AgentParts,
  type AgentSettings,
  AgentsApi,
  type ValidationProblem,
  type ValidationResult,
} from './agents.js';
export { AgentWorkerClient } from './client.js';
export type { ConnectionOptions } from './connection.js';
export { type FailureDetails, isAbortError, WorkerError } from './errors.js';
export type {
  DisplayMode,
  ErrorType,
  FinishReason,
  PendingToolCall,
  ProviderFailure,
  StreamEvent,
  StreamEventOf,
  StreamEventType,
  TodoItem,
  ToolResult,
} from './events.js';
export { toSSEStream } from './sse-stream.js';
export type { ToolContext, ToolHandler, ToolHandlers } from './tools.js';
export {
  type Execution,
  type WorkerExecuteOptions,
  type WorkerOptions,
  type WorkerResult,
  WorkersApi,
} from './workers.js';
