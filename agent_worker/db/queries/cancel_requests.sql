-- Held tasks that somebody asked to cancel. Index: agent_task_requests_held_idx.
SELECT agent_worker.cancel_requests(%(worker_id)s)
