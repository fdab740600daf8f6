-- What is scheduled, and of that: how much was postponed because a provider is paused, and how old its oldest task is.
-- Index: agent_task_requests_run_at_idx.
SELECT
  count(*),
  count(*) FILTER (WHERE t.resume = 'postponed'),
  coalesce(extract(epoch FROM now() - min(t.created_at) FILTER (WHERE t.resume = 'postponed')), 0)::double precision
FROM public.agent_task_requests t
WHERE t.status = 'pending' AND t.run_at IS NOT NULL
