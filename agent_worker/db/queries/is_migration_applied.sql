-- Whether one migration is applied. Index: schema_migrations_pkey.
SELECT EXISTS (SELECT 1 FROM supabase_migrations.schema_migrations WHERE version = %(version)s)
