-- Insert a schedule, or write it over the one of its name, which keeps what it has fired. Index: primary key.
INSERT INTO agent_worker.schedules AS s (
  name, cron, timezone, kind, request_payload, priority, enterprise_id, user_id, timeout_s, max_attempts, next_fire_at
)
VALUES (
  %(name)s, %(cron)s, %(timezone)s, %(kind)s, %(payload)s::text::jsonb, %(priority)s, %(enterprise_id)s, %(user_id)s,
  %(timeout_s)s, %(max_attempts)s, %(next_fire_at)s
)
ON CONFLICT (name) DO UPDATE
SET cron = excluded.cron, timezone = excluded.timezone, kind = excluded.kind,
    request_payload = excluded.request_payload, priority = excluded.priority,
    enterprise_id = excluded.enterprise_id, user_id = excluded.user_id, timeout_s = excluded.timeout_s,
    max_attempts = excluded.max_attempts, enabled = true, error = NULL,
    next_fire_at = CASE
      WHEN (s.cron, s.timezone, s.enabled) = (excluded.cron, excluded.timezone, true) AND s.next_fire_at IS NOT NULL
        THEN s.next_fire_at
      ELSE excluded.next_fire_at END
RETURNING name, cron, timezone, kind, request_payload, priority, enterprise_id, user_id, timeout_s, max_attempts,
          enabled, created_at, next_fire_at, last_slot, last_task_id, error
