-- Insert a schedule; no row comes back when its name is taken. Index: primary key.
INSERT INTO agent_worker.schedules (
  name, cron, timezone, kind, request_payload, priority, enterprise_id, user_id, timeout_s, max_attempts, next_fire_at
)
VALUES (
  %(name)s, %(cron)s, %(timezone)s, %(kind)s, %(payload)s::text::jsonb, %(priority)s, %(enterprise_id)s, %(user_id)s,
  %(timeout_s)s, %(max_attempts)s, %(next_fire_at)s
)
ON CONFLICT (name) DO NOTHING
RETURNING name, cron, timezone, kind, request_payload, priority, enterprise_id, user_id, timeout_s, max_attempts,
          enabled, created_at, next_fire_at, last_slot, last_task_id, error
