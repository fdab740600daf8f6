-- How a task stands, which event asked for these calls the last time, and the event before the leg that follows.
-- Index: primary key; agent_task_events_pkey, all of one task's events.
SELECT t.status, asked.seq, coalesce(following.seq - 1, latest.seq, 0)
FROM public.agent_task_requests t
LEFT JOIN LATERAL (
  SELECT max(e.seq) AS seq
  FROM public.agent_task_events e
  WHERE e.task_id = t.id
    AND (
      (e.type = 'human-request' AND e.data ->> 'key' = ANY (%(ids)s::text[]))
      OR (
        e.type = 'client-tool-request'
        AND EXISTS (
          SELECT 1 FROM jsonb_array_elements(e.data -> 'toolCalls') AS called (call)
          WHERE called.call ->> 'toolCallId' = ANY (%(ids)s::text[])
        )
      )
    )
) asked ON true
LEFT JOIN LATERAL (
  SELECT min(e.seq) AS seq
  FROM public.agent_task_events e
  WHERE e.task_id = t.id AND e.seq > asked.seq AND e.type = 'attempt-start'
) following ON true
LEFT JOIN LATERAL (
  SELECT max(e.seq) AS seq FROM public.agent_task_events e WHERE e.task_id = t.id
) latest ON true
WHERE t.id = %(task_id)s
