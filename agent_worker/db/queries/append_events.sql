-- Append to the streams of held tasks; returns the ids that are lost. Index: agent_task_events_pkey.
SELECT * FROM agent_worker.append_events(
  %(worker_id)s, %(ids)s::uuid[], %(attempts)s::integer[], %(seqs)s::integer[], %(types)s::text[],
  %(data)s::text[]::jsonb[]
)
