-- The versions of a definition, newest first. Index: definition_versions_pkey.
SELECT version, created_at FROM agent_worker.list_versions(%(kind)s, %(reference)s)
