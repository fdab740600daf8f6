-- How a run stands, and a piece of its stream, in one snapshot. Of what lies before the cursor, pieces of texts are left
-- out: whoever reads on from there needs to know what is open, not what was said. One row without an event when there is
-- none. Index: primary key, agent_task_events_pkey.
SELECT t.status, e.seq, e.type, e.data, e.attempt, e.created_at
FROM public.agent_task_requests t
LEFT JOIN LATERAL (
  SELECT seq, type, data, attempt, created_at
  FROM public.agent_task_events
  WHERE task_id = t.id AND seq > %(after_seq)s AND (seq > %(cursor)s OR type NOT LIKE '%%-delta')
  ORDER BY seq
  LIMIT %(limit)s
) e ON true
WHERE t.id = %(id)s AND t.kind = 'pipeline'
ORDER BY e.seq
