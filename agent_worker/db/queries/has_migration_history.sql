-- Whether the table of applied migrations exists. Index: pg_class_relname_nsp_index.
SELECT EXISTS (
  SELECT 1
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = 'supabase_migrations' AND c.relname = 'schema_migrations'
)
