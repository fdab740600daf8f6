-- Ask for a stop of those that have not ended; returns each with its status before and after.
-- Index: primary key. Locks: the tasks' rows, in order.
WITH found AS (
  SELECT t.id, t.status
  FROM public.agent_task_requests t
  WHERE t.id = ANY (%(ids)s::uuid[])
  ORDER BY t.id
  FOR NO KEY UPDATE
),
asked AS (
  UPDATE public.agent_task_requests t
  SET cancel_requested_at = now()
  FROM found
  WHERE t.id = found.id AND found.status IN ('pending', 'processing', 'waiting')
    AND t.cancel_requested_at IS NULL
  RETURNING t.id, t.status
)
SELECT found.id, found.status, coalesce(asked.status, found.status)
FROM found
LEFT JOIN asked ON asked.id = found.id
