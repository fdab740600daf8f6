-- How far back list_newest looks: the oldest change it did not get past, null when it saw all.
-- Index: agent_task_requests_finished_idx backwards, agent_task_requests_claim_idx backwards per lane.
WITH RECURSIVE queued AS (
  (SELECT t.kind FROM public.agent_task_requests t
   WHERE t.status = 'pending' AND t.run_at IS NULL AND 'pending' = ANY (%(statuses)s::text[])
   ORDER BY t.kind LIMIT 1)
  UNION ALL
  SELECT (SELECT t.kind FROM public.agent_task_requests t
          WHERE t.status = 'pending' AND t.run_at IS NULL AND t.kind > queued.kind
          ORDER BY t.kind LIMIT 1)
  FROM queued WHERE queued.kind IS NOT NULL
),
horizon AS (
  (SELECT t.finished_at AS at
   FROM public.agent_task_requests t
   WHERE t.finished_at IS NOT NULL AND %(statuses)s::text[] && ARRAY['completed', 'failed', 'cancelled']
   ORDER BY t.finished_at DESC
   OFFSET %(look_back)s
   LIMIT 1)
  UNION ALL
  SELECT past.updated_at
  FROM queued
  CROSS JOIN generate_series(0, 9) AS lane (priority)
  CROSS JOIN LATERAL (
    SELECT t.updated_at
    FROM public.agent_task_requests t
    WHERE t.status = 'pending' AND t.run_at IS NULL AND t.kind = queued.kind AND t.priority = lane.priority
    ORDER BY t.seq DESC
    OFFSET %(look_back)s
    LIMIT 1
  ) past
  WHERE queued.kind IS NOT NULL AND (%(kind)s::text IS NULL OR queued.kind = %(kind)s)
)
SELECT max(at) FROM horizon WHERE %(since)s::timestamptz IS NULL OR at >= %(since)s
