-- Put what has ended back in its lane, at the end; returns each with its status before and after. The trigger
-- agent_task_requests_reopen grants attempts and clears what the task left. Index: primary key.
-- Locks: the tasks' rows, in order.
WITH found AS (
  SELECT t.id, t.status
  FROM public.agent_task_requests t
  WHERE t.id = ANY (%(ids)s::uuid[])
  ORDER BY t.id
  FOR NO KEY UPDATE
),
reopened AS (
  UPDATE public.agent_task_requests t
  SET status = 'pending', seq = DEFAULT, run_at = NULL
  FROM found
  WHERE t.id = found.id AND found.status IN ('completed', 'failed', 'cancelled')
  RETURNING t.id, t.status
)
SELECT found.id, found.status, coalesce(reopened.status, found.status)
FROM found
LEFT JOIN reopened ON reopened.id = found.id
