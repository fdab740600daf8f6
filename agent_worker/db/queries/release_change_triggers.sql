-- This session needs the triggers no longer.
SELECT pg_advisory_unlock_shared(hashtextextended('agent_worker.change_triggers', 0))
