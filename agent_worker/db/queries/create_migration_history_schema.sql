-- The schema in which `supabase db push` keeps its history, made as it makes it.
CREATE SCHEMA IF NOT EXISTS supabase_migrations
