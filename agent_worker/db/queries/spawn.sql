-- Insert a child of a held task once; false when the parent has moved on. Index: primary key.
SELECT agent_worker.spawn(
  %(worker_id)s, %(task_id)s, %(attempt)s, %(key)s, %(child_id)s, %(kind)s, %(payload)s::text::jsonb
)
