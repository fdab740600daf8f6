-- The schedules that fire next, those nobody has looked at first, with the database's time.
-- Index: schedules_next_idx.
SELECT s.name, s.cron, s.timezone, s.next_fire_at, s.last_slot, now()
FROM agent_worker.schedules s
WHERE s.enabled AND (s.next_fire_at IS NOT NULL OR s.error IS NULL)
ORDER BY s.next_fire_at NULLS FIRST
LIMIT %(limit)s
