-- Store a definition as its slug's next version, unless the newest one has this content. Index: definitions_kind_slug_key.
SELECT id, slug, version, is_new
FROM agent_worker.push_definition(%(kind)s, %(slug)s, %(content)s::text::jsonb)
