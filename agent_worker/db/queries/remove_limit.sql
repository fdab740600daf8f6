-- Delete a limit; returns its id. Index: primary key.
DELETE FROM agent_worker.limits WHERE id = %(id)s RETURNING id
