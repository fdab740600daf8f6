import type { JsonObject } from './json.js';
import type { AgentTaskEventRow, AgentTaskRow, HumanTaskRow } from './schema.js';

/** Where a task stands: see docs/states.md. */
export type AgentTaskStatus = AgentTaskRow['status'];

/** Input of a task, as its processor reads it; for `chat` at least `prompt`. */
export interface AgentTaskPayload extends JsonObject {
  readonly prompt?: string;
}

/** What came out: the answer, or `error`, `code` and `retryable` of a task that failed or was cancelled. */
export interface AgentTaskResponse extends JsonObject {
  readonly answer?: string;
  readonly model?: string;
  readonly usage?: JsonObject;
  readonly error?: string;
  readonly code?: string;
  readonly retryable?: boolean;
}

/** How far a task is, where its processor tells. */
export interface AgentTaskProgress {
  /** 0 to 100. */
  readonly percent?: number;
  readonly note?: string;
}

/** A row of `agent_task_requests`. */
export interface AgentTask extends Omit<AgentTaskRow, 'request_payload' | 'response_payload' | 'progress'> {
  request_payload: AgentTaskPayload;
  response_payload: AgentTaskResponse | null;
  progress: AgentTaskProgress | null;
}

/** A row of `agent_task_events`: one thing that a task said. `seq` counts from 1 without a gap. */
export interface AgentTaskEvent extends Omit<AgentTaskEventRow, 'data'> {
  data: JsonObject;
}

/** Fields of the events that a chat emits; other processors add types of their own. */
export interface AgentTaskEventData {
  'attempt-start': { attempt: number; resume: string; keep: string[] };
  'attempt-failed': { attempt: number; code: string; error: string; retryInS: number };
  start: { executionId: string };
  'text-start': { id: string };
  'text-delta': { id: string; delta: string; step?: string };
  'text-end': { id: string };
  'human-request': { key: string; type: string; title: string; description?: string; form?: JsonObject };
  'human-answer': { key: string; response?: JsonObject; error?: string };
  'client-tool-request': {
    executionId: string;
    toolCalls: { toolCallId: string; toolName: string; args: JsonObject }[];
  };
  finish: { finishReason: string; executionId: string };
  error: { errorType: string; message: string; retryable: boolean; source: string; code: string };
}

/** A row of `human_tasks`: a question that a task waits for. */
export interface HumanTask extends Omit<HumanTaskRow, 'form' | 'context' | 'response'> {
  /** JSON Schema of the response. */
  form: JsonObject;
  /** Facts to show beside the form. */
  context: JsonObject;
  response: JsonObject | null;
}

/**
 * Tell whether an event is of a type, and give its fields their types.
 *
 * @example
 * ```ts
 * for await (const event of streamAgentTask(task.id)) {
 *   if (isEvent(event, 'text-delta')) console.log(event.data.delta);
 * }
 * ```
 */
export function isEvent<Type extends keyof AgentTaskEventData>(
  event: AgentTaskEvent,
  type: Type,
): event is AgentTaskEvent & { type: Type; data: AgentTaskEventData[Type] } {
  return event.type === type;
}

/** Tell whether a task has ended: completed, failed or cancelled. */
export function isFinal(task: Pick<AgentTask, 'status'>): boolean {
  return task.status === 'completed' || task.status === 'failed' || task.status === 'cancelled';
}
