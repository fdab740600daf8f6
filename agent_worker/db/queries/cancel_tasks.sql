-- Ask for a stop of those that have not ended; returns each with its status before and after. Index: primary key.
SELECT id, before, after FROM agent_worker.cancel_tasks(%(ids)s::uuid[])
