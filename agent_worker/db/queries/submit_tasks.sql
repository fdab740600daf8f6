-- Insert tasks, all or none, in the order given: their lanes keep it. Index: every one of the table that applies.
INSERT INTO public.agent_task_requests (
  id, kind, request_payload, user_id, enterprise_id, priority, run_at, max_attempts, timeout_s, dedupe_key
)
SELECT id, kind, payload, user_id, enterprise_id, priority, run_at, max_attempts, timeout_s, dedupe_key
FROM unnest(
  %(ids)s::uuid[], %(kinds)s::text[], %(payloads)s::text[]::jsonb[], %(user_ids)s::uuid[], %(enterprise_ids)s::text[],
  %(priorities)s::integer[], %(run_ats)s::timestamptz[], %(max_attempts)s::integer[], %(timeouts_s)s::integer[],
  %(dedupe_keys)s::text[]
) WITH ORDINALITY AS new (
  id, kind, payload, user_id, enterprise_id, priority, run_at, max_attempts, timeout_s, dedupe_key, n
)
ORDER BY n
RETURNING id
