-- Whether something is missing that every Supabase project has, and that migrations or the gateway build on.
-- A schema realtime is never looked into: in a hosted project nobody else may change it. Index: pg_authid_rolname_index.
SELECT
  (SELECT count(*) < 4 FROM pg_catalog.pg_roles
   WHERE rolname IN ('anon', 'authenticated', 'service_role', 'authenticator'))
  OR NOT EXISTS (
    SELECT 1
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'auth' AND p.proname = 'uid'
  )
  OR NOT EXISTS (
    SELECT 1
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'auth' AND c.relname = 'users'
  )
  OR to_regnamespace('realtime') IS NULL
