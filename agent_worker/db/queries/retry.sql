-- Put failed attempts back after a delay; returns the ids that are lost. Index: primary key.
SELECT * FROM agent_worker.retry(
  %(worker_id)s, %(ids)s::uuid[], %(attempts)s::integer[], %(delays_s)s::double precision[]
)
