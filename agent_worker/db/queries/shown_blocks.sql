-- The blocks that a task's stream tells the start of, those of attempts that are over included. Index: agent_task_events_pkey.
SELECT DISTINCT data ->> 'blockId'
FROM public.agent_task_events
WHERE task_id = %(task_id)s AND type = 'block-start' AND data ->> 'blockId' IS NOT NULL
