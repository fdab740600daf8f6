-- A piece of a task's stream, in order. Index: agent_task_events_pkey.
SELECT seq, type, data, attempt, created_at
FROM public.agent_task_events
WHERE task_id = %(task_id)s AND seq > %(after_seq)s
ORDER BY seq
LIMIT %(limit)s
