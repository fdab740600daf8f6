-- Set a limit, or what is given of it where there is one for the same tasks. Index: limits_kind_per_key_key.
INSERT INTO agent_worker.limits (kind, per, key, max_running, max_starts, period_s)
VALUES (%(kind)s, %(per)s, %(key)s, %(max_running)s, %(max_starts)s, %(period_s)s)
ON CONFLICT (kind, per, key) DO UPDATE
SET max_running = coalesce(excluded.max_running, limits.max_running),
    max_starts = coalesce(excluded.max_starts, limits.max_starts),
    period_s = coalesce(excluded.period_s, limits.period_s)
RETURNING id
