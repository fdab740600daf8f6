-- How a task stands, and a piece of its stream, in one snapshot: whoever sees the end has seen every event before it.
-- One row without an event when there is none. Index: primary key, agent_task_events_pkey.
SELECT t.status, e.seq, e.type, e.data, e.attempt, e.created_at
FROM public.agent_task_requests t
LEFT JOIN LATERAL (
  SELECT seq, type, data, attempt, created_at
  FROM public.agent_task_events
  WHERE task_id = t.id AND seq > %(after_seq)s
  ORDER BY seq
  LIMIT %(limit)s
) e ON true
WHERE t.id = %(task_id)s
ORDER BY e.seq
