/** What the tables hold, as REST and Realtime give it. Times are ISO 8601 text, by the clock of the database. */

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

export const STATUSES = ['pending', 'processing', 'waiting', 'completed', 'failed', 'cancelled'] as const;
export type Status = (typeof STATUSES)[number];

export interface Progress {
  readonly percent?: number;
  readonly note?: string;
}

/** A task as a list shows it: without its payloads, which may weigh 16 MiB each. */
export interface TaskRow {
  readonly id: string;
  readonly kind: string;
  readonly status: Status;
  readonly attempt: number;
  readonly max_attempts: number;
  readonly priority: number;
  readonly enterprise_id: string | null;
  readonly created_at: string;
  readonly started_at: string | null;
  readonly finished_at: string | null;
  readonly updated_at: string;
  readonly run_at: string | null;
  readonly cancel_requested_at: string | null;
  readonly progress: Progress | null;
  /** `request_payload.prompt`, null where the payload has none. */
  readonly prompt: string | null;
  /** `content` of the last of `request_payload.messages`; JSON where it is made of parts. */
  readonly message: string | null;
  /** `request_payload.agent`: the slug of a stored pipeline; JSON where the payload brings the definition along. */
  readonly agent: string | null;
  /** `response_payload.code` and `.error` of a task that did not succeed. */
  readonly code: string | null;
  readonly error: string | null;
}

/** What a list derives from payloads. */
export type Derived = 'prompt' | 'message' | 'agent' | 'code' | 'error';

/** A whole task. */
export interface Task extends Omit<TaskRow, Derived> {
  readonly user_id: string | null;
  readonly timeout_s: number | null;
  readonly dedupe_key: string | null;
  readonly parent_id: string | null;
  readonly worker_id: string | null;
  readonly request_payload: JsonObject;
  readonly response_payload: JsonObject | null;
}

/** One thing a task said; `seq` counts from 1 without a gap. */
export interface TaskEvent {
  readonly task_id: string;
  readonly seq: number;
  readonly type: string;
  readonly data: JsonObject;
  readonly attempt: number;
  readonly created_at: string;
}

export type Urgency = 'low' | 'medium' | 'high' | 'urgent';

/** A row of `human_tasks`: what a task asks a person or a client's tools. */
export interface Question {
  readonly id: string;
  readonly task_id: string;
  readonly key: string;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  /** JSON Schema of the response. */
  readonly form: JsonObject;
  readonly context: JsonObject;
  readonly priority: Urgency;
  readonly status: 'pending' | 'completed' | 'cancelled' | 'expired';
  readonly assignee: string | null;
  readonly user_id: string | null;
  readonly response: JsonObject | null;
  readonly expires_at: string | null;
  readonly created_at: string;
  readonly responded_at: string | null;
}

/** What a task is about, in its own words; '' where the payload has none that can be read at a glance. */
export function subjectOf({ prompt, message, agent }: Pick<TaskRow, 'prompt' | 'message' | 'agent'>): string {
  return [prompt, message, agent].find((text) => text && !/^[[{]/u.test(text)) ?? '';
}

/** Whether a question is for this user to answer. */
export function isPutTo(question: Pick<Question, 'assignee' | 'user_id'>, userId: string): boolean {
  return (question.assignee ?? question.user_id) === userId;
}

export function isFinal(status: Status): boolean {
  return status === 'completed' || status === 'failed' || status === 'cancelled';
}

/** The field of an object as text, '' where it is something else. */
export function textOf(value: JsonObject | null, key: string): string {
  const found = value?.[key];
  return typeof found === 'string' ? found : '';
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
