-- Remember a value for a held task; false when it has moved on. Index: checkpoints_pkey.
SELECT agent_worker.save_checkpoint(
  %(worker_id)s, %(task_id)s, %(attempt)s, %(key)s, %(call)s, %(value)s::text::jsonb
)
