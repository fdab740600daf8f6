-- Take tasks back from workers that stopped sending heartbeats. Index: agent_task_requests_held_idx.
SELECT id, kind, status, next_expiry_s FROM agent_worker.rescue(%(limit)s::integer)
