-- What a task did before this attempt: its last event. Index: agent_task_events_pkey, read backwards.
SELECT coalesce(max(seq), 0)
FROM public.agent_task_events
WHERE task_id = %(task_id)s
