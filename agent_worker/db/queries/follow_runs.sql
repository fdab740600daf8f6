-- How runs stand, and a piece of each one's stream, with the rights of whoever follows it.
-- Index: primary key; agent_task_events_pkey.
SELECT look, status, seq, type, data, attempt, created_at
FROM agent_worker.follow_runs(
  %(roles)s::text[], %(claims)s::text[], %(counts)s::integer[],
  %(ids)s::uuid[], %(after_seqs)s::integer[], %(cursors)s::bigint[], %(limit)s::integer
)
