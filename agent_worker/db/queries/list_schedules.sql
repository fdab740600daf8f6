-- Every schedule, by name. Index: primary key.
SELECT name, cron, timezone, kind, request_payload, priority, enterprise_id, user_id, timeout_s, max_attempts,
       enabled, created_at, next_fire_at, last_slot, last_task_id, error
FROM agent_worker.schedules
ORDER BY name
