-- Whether the tables of auth/v1 are ours; a hosted project has others of the same names. Index: pg_attribute's.
SELECT EXISTS (
  SELECT 1
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'auth' AND c.relname = 'refresh_tokens' AND a.attname = 'token_hash'
)
