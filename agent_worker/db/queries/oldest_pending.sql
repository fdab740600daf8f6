-- Seconds that the longest waiting head of these kinds' lanes has been due. Index: agent_task_requests_claim_idx, once per lane.
SELECT coalesce(max(extract(epoch FROM now() - head.updated_at)), 0)::double precision
FROM unnest(%(kinds)s::text[]) AS offered (kind)
CROSS JOIN generate_series(0, 9) AS lane (priority)
CROSS JOIN LATERAL (
  SELECT t.updated_at
  FROM public.agent_task_requests t
  WHERE t.status = 'pending' AND t.run_at IS NULL AND t.kind = offered.kind AND t.priority = lane.priority
  ORDER BY t.seq
  LIMIT 1
) head
