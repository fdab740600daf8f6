-- Tell who follows held tasks what they say; returns the ids that are lost. Index: primary key.
SELECT * FROM agent_worker.broadcast_deltas(
  %(worker_id)s, %(ids)s::uuid[], %(attempts)s::integer[], %(seqs)s::integer[], %(parts)s::integer[],
  %(events)s::text[]::jsonb[]
)
