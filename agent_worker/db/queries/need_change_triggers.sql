-- Say, for as long as this session lasts, that the triggers are needed. Waits for whoever drops them at this moment.
SELECT pg_advisory_lock_shared(hashtextextended('agent_worker.change_triggers', 0))
