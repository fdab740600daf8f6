-- What this worker holds, as the database sees it. Index: agent_task_requests_held_idx.
SELECT id, attempt FROM agent_worker.held_tasks(%(worker_id)s)
