-- The tasks that changed last, newest first. Each state is read from the newest end of its own index and no further
-- than needed, at most %(look_back)s rows of a lane or of the history; the rows themselves are fetched for the winners.
-- Index: agent_task_requests_claim_idx (a loose scan for the kinds, then each lane backwards: a task gets its seq
-- when it becomes pending), _run_at_idx, _held_idx, _finished_idx backwards.
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
due AS (
  SELECT newest.id, newest.updated_at
  FROM queued
  CROSS JOIN generate_series(0, 9) AS lane (priority)
  CROSS JOIN LATERAL (
    SELECT candidate.id, candidate.updated_at
    FROM (
      SELECT t.id, t.updated_at, t.enterprise_id
      FROM public.agent_task_requests t
      WHERE t.status = 'pending' AND t.run_at IS NULL AND t.kind = queued.kind AND t.priority = lane.priority
      ORDER BY t.seq DESC
      LIMIT %(look_back)s
    ) candidate
    WHERE (%(tenant)s::text IS NULL OR candidate.enterprise_id = %(tenant)s)
      AND (%(since)s::timestamptz IS NULL OR candidate.updated_at >= %(since)s)
    LIMIT %(limit)s
  ) newest
  WHERE queued.kind IS NOT NULL AND (%(kind)s::text IS NULL OR queued.kind = %(kind)s)
),
scheduled AS (
  SELECT t.id, t.updated_at
  FROM public.agent_task_requests t
  WHERE t.status = 'pending' AND t.run_at IS NOT NULL AND 'pending' = ANY (%(statuses)s::text[])
    AND (%(kind)s::text IS NULL OR t.kind = %(kind)s)
    AND (%(tenant)s::text IS NULL OR t.enterprise_id = %(tenant)s)
    AND (%(since)s::timestamptz IS NULL OR t.updated_at >= %(since)s)
  ORDER BY t.run_at
  LIMIT %(limit)s
),
held AS (
  SELECT t.id, t.updated_at
  FROM public.agent_task_requests t
  WHERE t.status IN ('processing', 'waiting') AND t.status = ANY (%(statuses)s::text[])
    AND (%(kind)s::text IS NULL OR t.kind = %(kind)s)
    AND (%(tenant)s::text IS NULL OR t.enterprise_id = %(tenant)s)
    AND (%(since)s::timestamptz IS NULL OR t.updated_at >= %(since)s)
  ORDER BY t.updated_at DESC
  LIMIT %(limit)s
),
ended AS (
  SELECT candidate.id, candidate.updated_at
  FROM (
    SELECT t.id, t.kind, t.status, t.enterprise_id, t.updated_at, t.response_payload
    FROM public.agent_task_requests t
    WHERE t.finished_at IS NOT NULL
      AND t.finished_at >= coalesce(%(since)s::timestamptz, '-infinity')
      AND %(statuses)s::text[] && ARRAY['completed', 'failed', 'cancelled']
    ORDER BY t.finished_at DESC
    LIMIT %(look_back)s
  ) candidate
  WHERE candidate.status = ANY (%(statuses)s::text[])
    AND (%(kind)s::text IS NULL OR candidate.kind = %(kind)s)
    AND (%(tenant)s::text IS NULL OR candidate.enterprise_id = %(tenant)s)
    AND (%(code)s::text IS NULL OR candidate.response_payload ->> 'code' = %(code)s)
  LIMIT %(limit)s
),
newest AS (
  SELECT id, updated_at FROM due
  UNION ALL SELECT id, updated_at FROM scheduled
  UNION ALL SELECT id, updated_at FROM held
  UNION ALL SELECT id, updated_at FROM ended
  ORDER BY updated_at DESC
  LIMIT %(limit)s
)
SELECT t.id, t.kind, t.status, t.priority, t.attempt, t.max_attempts, t.user_id, t.enterprise_id, t.worker_id,
       t.progress,
       CASE WHEN t.status IN ('failed', 'cancelled') THEN t.response_payload ->> 'error' END,
       CASE WHEN t.status IN ('failed', 'cancelled') THEN t.response_payload ->> 'code' END,
       t.run_at, t.cancel_requested_at, t.created_at, t.started_at, t.finished_at, t.updated_at
FROM newest
JOIN public.agent_task_requests t ON t.id = newest.id
ORDER BY newest.updated_at DESC, t.id
