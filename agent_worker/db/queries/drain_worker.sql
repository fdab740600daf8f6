-- Have a living worker leave; returns its name, null when none has this id. Index: workers_pkey.
SELECT agent_worker.drain_worker(%(id)s)
