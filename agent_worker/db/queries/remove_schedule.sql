-- Delete a schedule; no row comes back when there was none. Index: primary key.
DELETE FROM agent_worker.schedules WHERE name = %(name)s RETURNING name
