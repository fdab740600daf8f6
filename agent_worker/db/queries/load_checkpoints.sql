-- Everything a task remembers. Index: checkpoints_pkey.
SELECT key, call, value, is_done
FROM agent_worker.checkpoints
WHERE task_id = %(task_id)s
