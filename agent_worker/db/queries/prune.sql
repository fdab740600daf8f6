-- Delete tasks that ended long ago. Index: agent_task_requests_finished_idx.
SELECT agent_worker.prune(%(retention_s)s::double precision, %(limit)s::integer)
