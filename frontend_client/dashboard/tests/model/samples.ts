import type { Change } from '../../src/model/list';
import type { JsonObject, Task, TaskEvent, TaskRow } from '../../src/model/task';

export const ID = '0a1b2c3d-0000-4000-8000-000000000001';
const INSERTED = Date.parse('2026-01-31T10:00:00Z');

/** A moment so many seconds after the insert. */
export function at(seconds: number): string {
  return new Date(INSERTED + seconds * 1000).toISOString();
}

export function task(fields: Partial<Task> = {}): Task {
  return {
    id: ID,
    kind: 'chat',
    status: 'pending',
    attempt: 0,
    max_attempts: 3,
    priority: 0,
    enterprise_id: null,
    created_at: at(0),
    started_at: null,
    finished_at: null,
    updated_at: at(0),
    run_at: null,
    cancel_requested_at: null,
    progress: null,
    user_id: null,
    timeout_s: null,
    dedupe_key: null,
    parent_id: null,
    worker_id: null,
    request_payload: {},
    response_payload: null,
    ...fields,
  };
}

export function row(fields: Partial<TaskRow> = {}): TaskRow {
  const { user_id, timeout_s, dedupe_key, parent_id, worker_id, request_payload, response_payload, ...rest } = task();
  return { ...rest, prompt: null, message: null, agent: null, code: null, error: null, ...fields };
}

export function change(fields: Partial<TaskRow> = {}): Change {
  const { prompt, code, error, ...rest } = row(fields);
  return rest;
}

/** Events in order; each `[seconds after the insert, type, data, attempt]`. */
export function events(...said: readonly (readonly [number, string, JsonObject?, number?])[]): readonly TaskEvent[] {
  return said.map(([seconds, type, data = {}, attempt = 1], index) => ({
    task_id: ID,
    seq: index + 1,
    type,
    data,
    attempt,
    created_at: at(seconds),
  }));
}
