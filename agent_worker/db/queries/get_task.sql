-- Everything a task's row says. Index: primary key.
SELECT id, kind, status, request_payload, response_payload, user_id, enterprise_id, priority, run_at, attempt,
       max_attempts, timeout_s, dedupe_key, cancel_requested_at, progress, parent_id, worker_id, created_at,
       started_at, finished_at, updated_at
FROM public.agent_task_requests
WHERE id = %(id)s
