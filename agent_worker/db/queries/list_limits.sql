-- Every limit, and how many running tasks of its kinds there are. Index: running_kind_idx.
SELECT l.id, l.kind, l.per, l.key, l.max_running, l.max_starts, l.period_s, l.paused_at,
       (SELECT count(*)
        FROM agent_worker.running r
        JOIN public.agent_task_requests t ON t.id = r.task_id AND t.status = 'processing' AND t.attempt = r.attempt
        WHERE (l.kind IS NULL OR r.kind = l.kind)
          AND CASE l.per
            WHEN 'all' THEN true
            WHEN 'tenant' THEN r.enterprise_id = coalesce(l.key, r.enterprise_id)
            ELSE r.user_id::text = coalesce(l.key, r.user_id::text) END)
FROM agent_worker.limits l
ORDER BY l.kind NULLS FIRST, l.per, l.key NULLS FIRST
