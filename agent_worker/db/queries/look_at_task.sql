-- How a task stands; the response is there once it has ended. Index: primary key.
SELECT id, kind, status, response_payload, attempt, created_at, started_at, finished_at
FROM public.agent_task_requests
WHERE id = %(id)s
