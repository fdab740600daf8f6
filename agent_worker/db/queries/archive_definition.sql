-- Let no new task find a definition by its name alone; false when there is none in use.
-- Index: definitions_kind_slug_key.
SELECT agent_worker.archive_definition(%(kind)s, %(reference)s)
