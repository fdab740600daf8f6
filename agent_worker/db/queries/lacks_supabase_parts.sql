-- Whether something is missing that migrations build on and every Supabase project has. Index: pg_authid_rolname_index.
-- A schema realtime is never looked into: in a hosted project nobody else may change it.
SELECT
  (SELECT count(*) < 3 FROM pg_catalog.pg_roles WHERE rolname IN ('anon', 'authenticated', 'service_role'))
  OR NOT EXISTS (
    SELECT 1
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'auth' AND p.proname = 'uid'
  )
  OR to_regnamespace('realtime') IS NULL
