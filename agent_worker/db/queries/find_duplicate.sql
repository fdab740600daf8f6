-- The task that stands in the way of new ones: same id, or unfinished with the same key.
-- Index: primary key, agent_task_requests_dedupe_idx (by IS NULL where there is no user: IS NOT DISTINCT FROM uses none).
SELECT existing.id
FROM unnest(%(ids)s::uuid[], %(kinds)s::text[], %(user_ids)s::uuid[], %(dedupe_keys)s::text[])
  AS new (id, kind, user_id, dedupe_key)
CROSS JOIN LATERAL (
  SELECT t.id FROM public.agent_task_requests t WHERE t.id = new.id
  UNION ALL
  SELECT t.id FROM public.agent_task_requests t
  WHERE t.kind = new.kind AND t.user_id = new.user_id AND t.dedupe_key = new.dedupe_key
    AND t.status IN ('pending', 'processing', 'waiting')
  UNION ALL
  SELECT t.id FROM public.agent_task_requests t
  WHERE t.kind = new.kind AND t.user_id IS NULL AND new.user_id IS NULL AND t.dedupe_key = new.dedupe_key
    AND t.status IN ('pending', 'processing', 'waiting')
) existing
LIMIT 1
