-- Append to the streams of held tasks and remember what their steps returned; returns the ids that are lost.
-- Indices: agent_task_events_pkey, checkpoints_pkey.
SELECT * FROM agent_worker.record_steps(
  %(worker_id)s,
  %(ids)s::uuid[], %(attempts)s::integer[], %(seqs)s::integer[], %(types)s::text[], %(data)s::text[]::jsonb[],
  %(step_ids)s::uuid[], %(step_attempts)s::integer[], %(step_keys)s::text[], %(step_calls)s::text[], %(step_values)s::text[]::jsonb[]
)
