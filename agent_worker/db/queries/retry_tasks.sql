-- Put what has ended back in its lane; returns each with its status before and after. Index: primary key.
SELECT id, before, after FROM agent_worker.retry_tasks(%(ids)s::uuid[])
