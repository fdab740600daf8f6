// Written by scripts/frontend_types.py from the migrations. Do not edit: change a migration, then
// run `pytest tests/frontend/test_types.py --update-schema`.

/** Tasks for AI workers. Insert a row (request_payload is enough) and watch status and response_payload. */
export interface AgentTaskRow {
  id: string;
  /** Which processor answers: chat, echo, or one of yours. */
  kind: string;
  /** pending, processing, waiting (for a person, a client tool or a child), completed, failed or cancelled. */
  status: 'pending' | 'processing' | 'waiting' | 'completed' | 'failed' | 'cancelled';
  /** Input, a JSON object of at most 16 MiB; for chat {"prompt": "…"}. */
  request_payload: unknown;
  /** Output; on failure {"error", "code", "retryable"}. Written together with the final status. */
  response_payload: unknown;
  user_id: string | null;
  enterprise_id: string | null;
  /** 0 to 9, higher first; signed-in users may use 0 to 5. */
  priority: number;
  /** Not before this time; null means now. */
  run_at: string | null;
  /** Attempts started. */
  attempt: number;
  max_attempts: number;
  /** Limit of one attempt in seconds; null means the processor's default. */
  timeout_s: number | null;
  /** At most one unfinished task per kind, user and key. */
  dedupe_key: string | null;
  /** Set it to anything to stop the task. */
  cancel_requested_at: string | null;
  /** {"percent": 0 to 100, "note": "…"}. */
  progress: unknown;
  parent_id: string | null;
  worker_id: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  updated_at: string;
}

/** What a signed-in user may give a new row of `agent_task_requests`. */
export interface AgentTaskInsert {
  id?: string;
  kind?: string;
  status?: 'pending' | 'processing' | 'waiting' | 'completed' | 'failed' | 'cancelled';
  request_payload?: unknown;
  user_id?: string | null;
  enterprise_id?: string | null;
  priority?: number;
  run_at?: string | null;
  max_attempts?: number;
  timeout_s?: number | null;
  dedupe_key?: string | null;
}

/** What a signed-in user may change in a row of `agent_task_requests`. */
export interface AgentTaskUpdate {
  cancel_requested_at?: string | null;
}

/** Stream of a task: text-delta, finish, error, attempt-start and so on, by seq. */
export interface AgentTaskEventRow {
  task_id: string;
  seq: number;
  type: string;
  data: unknown;
  attempt: number;
  user_id: string | null;
  created_at: string;
}

/** Questions to people and client tools. Set response to answer; the task goes on by itself. */
export interface HumanTaskRow {
  id: string;
  task_id: string;
  key: string;
  type: 'approval' | 'review' | 'input' | 'selection' | 'annotation' | 'verification' | 'custom' | 'client_tool';
  title: string;
  description: string;
  form: unknown;
  context: unknown;
  priority: 'low' | 'medium' | 'high' | 'urgent';
  status: 'pending' | 'completed' | 'cancelled' | 'expired';
  assignee: string | null;
  user_id: string | null;
  enterprise_id: string | null;
  /** The answer, a JSON object that follows form; for client_tool {"toolResults": [{toolCallId, result | error}]}. */
  response: unknown;
  responded_by: string | null;
  expires_at: string | null;
  created_at: string;
  updated_at: string;
  responded_at: string | null;
}

/** What a signed-in user may change in a row of `human_tasks`. */
export interface HumanTaskUpdate {
  response?: unknown;
}
