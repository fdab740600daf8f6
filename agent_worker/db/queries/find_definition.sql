-- One version of a definition, the newest when none is named. Index: definitions_kind_slug_key, definition_versions_pkey.
SELECT id, slug, version, content, created_at, updated_at
FROM agent_worker.find_definition(%(kind)s, %(reference)s, %(version)s::integer)
