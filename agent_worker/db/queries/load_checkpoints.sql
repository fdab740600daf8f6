-- What a task remembers, after a key and so many at a time. Index: checkpoints_pkey.
SELECT key, call, value, is_done FROM agent_worker.load_checkpoints(%(task_id)s, %(after)s, %(limit)s)
