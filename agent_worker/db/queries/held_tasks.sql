-- What this worker holds, as the database sees it. Index: agent_task_requests_held_idx.
SELECT id, attempt
FROM public.agent_task_requests
WHERE worker_id = %(worker_id)s AND status = 'processing'
