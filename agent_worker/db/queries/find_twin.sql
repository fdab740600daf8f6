-- An unfinished task with the key of one that has ended. Index: primary key, agent_task_requests_dedupe_idx.
SELECT live.id
FROM public.agent_task_requests ended
JOIN public.agent_task_requests live
  ON live.kind = ended.kind AND live.dedupe_key = ended.dedupe_key
  AND live.user_id IS NOT DISTINCT FROM ended.user_id
  AND live.status IN ('pending', 'processing', 'waiting')
WHERE ended.id = ANY (%(ids)s::uuid[]) AND ended.status IN ('completed', 'failed', 'cancelled')
LIMIT 1
