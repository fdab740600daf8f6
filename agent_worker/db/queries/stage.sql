-- Move tasks whose run_at has come into their lanes. Index: agent_task_requests_run_at_idx.
SELECT staged, next_due_s FROM agent_worker.stage(%(limit)s::integer)
