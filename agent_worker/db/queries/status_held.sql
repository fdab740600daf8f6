-- What waits for an answer, what runs, and of what runs: how many tasks have no living holder, how many run past their
-- limit. A task without a limit of its own is judged by the longest there can be, since only its worker knows the
-- processor's. Index: agent_task_requests_held_idx.
SELECT
  (SELECT count(*) FROM public.agent_task_requests t WHERE t.status = 'waiting'),
  count(*),
  count(*) FILTER (WHERE holder.id IS NULL),
  count(*) FILTER (
    WHERE holder.id IS NOT NULL
      AND t.started_at < now() - make_interval(secs => coalesce(t.timeout_s, 86400) + %(grace_s)s::double precision)
  )
FROM public.agent_task_requests t
LEFT JOIN agent_worker.workers holder
  ON holder.id = t.worker_id AND holder.stopped_at IS NULL
  AND holder.heartbeat_at >= now() - make_interval(secs => holder.lease_s)
WHERE t.status = 'processing'
