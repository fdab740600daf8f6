-- The definitions of a kind that are in use, by slug. Index: definitions_kind_slug_key, definition_versions_pkey.
SELECT id, slug, version, name, description, format, created_at, updated_at
FROM agent_worker.list_definitions(%(kind)s)
