-- Set a limit in place of the one for the same tasks. Index: limits_kind_per_key_key.
INSERT INTO agent_worker.limits (kind, per, key, max_running, max_starts, period_s)
VALUES (%(kind)s, %(per)s, %(key)s, %(max_running)s, %(max_starts)s, %(period_s)s)
ON CONFLICT (kind, per, key) DO UPDATE
SET max_running = excluded.max_running, max_starts = excluded.max_starts, period_s = excluded.period_s
RETURNING id
