-- The schedules that fire next, those nobody has looked at first, with the database's time.
-- Index: schedules_next_idx.
SELECT name, cron, timezone, next_fire_at, last_slot, seen_at FROM agent_worker.next_schedules(%(limit)s::integer)
