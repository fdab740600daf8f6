-- The tasks that changed last, newest first, each state from the newest end of its own index.
-- Index: agent_task_requests_claim_idx, _run_at_idx, _held_idx, _finished_idx.
SELECT * FROM agent_worker.newest_tasks(
  %(statuses)s::text[], %(kind)s::text, %(tenant)s::text, %(code)s::text, %(since)s::timestamptz,
  %(limit)s::integer, %(look_back)s::integer
)
