-- Say that a worker lives; returns what it should cancel, and whether it should drain.
-- Index: workers_pkey, agent_task_requests_held_idx.
SELECT is_known, cancel_ids, is_drain_asked FROM agent_worker.heartbeat(%(worker_id)s, %(in_flight)s)
