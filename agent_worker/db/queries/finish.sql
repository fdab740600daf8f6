-- Write final outcomes; returns the ids that are lost. Index: primary key.
SELECT * FROM agent_worker.finish(
  %(worker_id)s, %(ids)s::uuid[], %(attempts)s::integer[], %(statuses)s::text[], %(responses)s::text[]::jsonb[]
)
