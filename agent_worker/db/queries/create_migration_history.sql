-- The table in which `supabase db push` keeps its history, made as it makes it.
CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (
  version text NOT NULL PRIMARY KEY,
  statements text[],
  name text
)
