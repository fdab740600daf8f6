-- Note an applied migration as `supabase db push` notes it. Index: schema_migrations_pkey.
INSERT INTO supabase_migrations.schema_migrations (version, name, statements)
VALUES (%(version)s, %(name)s, %(statements)s)
