-- Start no more tasks of a kind. Index: limits_kind_per_key_key.
INSERT INTO agent_worker.limits (kind, per, paused_at)
VALUES (%(kind)s, 'all', now())
ON CONFLICT (kind, per, key) DO UPDATE SET paused_at = coalesce(limits.paused_at, now())
RETURNING id
