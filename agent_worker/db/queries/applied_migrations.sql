-- Every migration applied to this database, ours and others. Index: none, the table is small.
SELECT version, coalesce(name, '') FROM supabase_migrations.schema_migrations ORDER BY version
