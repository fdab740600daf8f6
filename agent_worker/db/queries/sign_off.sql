-- A worker drains or leaves. Index: workers_pkey.
SELECT agent_worker.sign_off(%(worker_id)s, %(state)s)
