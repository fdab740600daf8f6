-- Show how far held tasks are; returns the ids that are lost. Index: primary key.
SELECT * FROM agent_worker.report_progress(
  %(worker_id)s, %(ids)s::uuid[], %(attempts)s::integer[], %(progress)s::text[]::jsonb[]
)
