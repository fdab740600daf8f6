-- The tasks status_held counted as stuck, longest first. Index: agent_task_requests_held_idx.
SELECT t.id, t.kind, t.worker_id, holder.name, holder.id IS NULL OR holder.is_gone,
       extract(epoch FROM now() - t.started_at)::double precision
FROM public.agent_task_requests t
LEFT JOIN (
  SELECT w.id, w.name,
         w.stopped_at IS NOT NULL OR w.heartbeat_at < now() - make_interval(secs => w.lease_s) AS is_gone
  FROM agent_worker.workers w
) holder ON holder.id = t.worker_id
WHERE t.status = 'processing'
  AND (
    holder.id IS NULL OR holder.is_gone
    OR t.started_at < now() - make_interval(secs => coalesce(t.timeout_s, 86400) + %(grace_s)s::double precision)
  )
ORDER BY t.started_at
LIMIT %(limit)s
