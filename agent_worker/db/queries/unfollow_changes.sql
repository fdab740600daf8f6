-- Drop the triggers that tell of changes, unless another gateway still holds the lock that says it needs them.
SELECT CASE WHEN pg_try_advisory_xact_lock(hashtextextended('agent_worker.change_triggers', 0)) THEN agent_worker.unfollow_changes() END
