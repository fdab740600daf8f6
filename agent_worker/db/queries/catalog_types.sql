-- Names of types that a select list may cast to: short and as SQL writes them, each with the one in full. Locks: none.
SELECT t.typname, format_type(t.oid, NULL), format_type(t.oid, -1)
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm') AND (n.nspname = 'pg_catalog' OR n.nspname = ANY(%(schemas)s))
ORDER BY n.nspname = 'pg_catalog' DESC
