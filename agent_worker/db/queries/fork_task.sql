-- Insert a task that goes on from what another one has finished; false when there is no such task. Index: checkpoints_pkey.
SELECT agent_worker.fork_task(
  %(task_id)s, %(fork_id)s, %(payload)s::text::jsonb, %(keys)s::text[], %(note_key)s, %(note)s::text::jsonb
)
