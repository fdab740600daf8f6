-- What waits for a worker, by kind: how many, how long the first of the lanes' heads has waited, and whether any worker
-- ever offered the kind, whether it is paused, and whether limits may hold it back. Index: agent_task_requests_claim_idx, once for the counts and once per lane for its head.
SELECT queued.kind, queued.n, coalesce(extract(epoch FROM now() - head.since), 0)::double precision,
       EXISTS (SELECT 1 FROM agent_worker.kinds k WHERE k.kind = queued.kind),
       EXISTS (SELECT 1 FROM agent_worker.limits l WHERE l.kind = queued.kind AND l.paused_at IS NOT NULL),
       EXISTS (SELECT 1 FROM agent_worker.limits l WHERE l.kind IS NULL OR l.kind = queued.kind)
FROM (
  SELECT t.kind, count(*) AS n
  FROM public.agent_task_requests t
  WHERE t.status = 'pending' AND t.run_at IS NULL
  GROUP BY t.kind
) queued
CROSS JOIN LATERAL (
  SELECT min(first.updated_at) AS since
  FROM generate_series(0, 9) AS lane (priority)
  CROSS JOIN LATERAL (
    SELECT t.updated_at
    FROM public.agent_task_requests t
    WHERE t.status = 'pending' AND t.run_at IS NULL AND t.kind = queued.kind AND t.priority = lane.priority
    ORDER BY t.seq
    LIMIT 1
  ) first
) head
ORDER BY queued.kind
