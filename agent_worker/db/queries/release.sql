-- Give tasks back without using up their attempt, after a delay or at once; returns the ids that are lost. Index: primary key.
SELECT * FROM agent_worker.release(
  %(worker_id)s, %(ids)s::uuid[], %(attempts)s::integer[], %(delays_s)s::double precision[]
)
