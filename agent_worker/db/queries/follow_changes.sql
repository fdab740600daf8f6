-- Make the triggers that tell of changes, on published tables that have none. Locks: each such table, for a moment.
SELECT agent_worker.follow_changes(%(publications)s::text[])
