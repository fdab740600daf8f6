-- Everything a task remembers. Index: checkpoints_pkey.
SELECT key, call, value, is_done FROM agent_worker.load_checkpoints(%(task_id)s)
