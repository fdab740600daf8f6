-- What a Supabase project has and a plain PostgreSQL lacks: roles, the schema auth, and its functions.
--
-- Not a migration: a hosted project forbids creating roles and anything in the schema auth, and has all of it anyway.
-- Safe to run again. Needs a superuser (or CREATEROLE with BYPASSRLS), once per cluster for the roles.
do $$
begin
  if not exists (select 1 from pg_roles where rolname = 'anon') then
    create role anon nologin noinherit;
  end if;
  if not exists (select 1 from pg_roles where rolname = 'authenticated') then
    create role authenticated nologin noinherit;
  end if;
  if not exists (select 1 from pg_roles where rolname = 'service_role') then
    create role service_role nologin noinherit bypassrls;
  end if;
exception when duplicate_object or unique_violation then
  null;  -- another database of this cluster is being set up at this moment
end
$$;

create schema if not exists auth;
-- To all, because the owner of the tables need not be a superuser, and its functions ask who calls.
grant usage on schema auth to public;
grant usage on schema public to anon, authenticated, service_role;

-- Claims arrive in the setting request.jwt.claims, which reads '' rather than null once a transaction has set it.
create or replace function auth.jwt() returns jsonb
language sql stable set search_path = ''
as $$ select coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb $$;

create or replace function auth.uid() returns uuid
language sql stable set search_path = ''
as $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;

create or replace function auth.role() returns text
language sql stable set search_path = ''
as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role' $$;

create or replace function auth.email() returns text
language sql stable set search_path = ''
as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email' $$;
