-- One runner at a time; held until the transaction ends, so that it works through a pooler as well.
SELECT pg_advisory_xact_lock(hashtextextended('agent_worker.migrate', 0))
