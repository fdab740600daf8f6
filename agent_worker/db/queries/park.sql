-- End an attempt to wait; returns the new status, null when the task has moved on. Index: primary key.
SELECT agent_worker.park(
  %(worker_id)s, %(task_id)s, %(attempt)s, %(key)s, %(call)s, %(child_id)s, %(fields)s::text::jsonb,
  %(timeout_s)s::double precision
)
