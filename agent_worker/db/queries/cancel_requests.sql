-- Those of these held tasks that somebody asked to cancel. Index: primary key.
SELECT agent_worker.cancel_requests(%(worker_id)s, %(ids)s::uuid[])
