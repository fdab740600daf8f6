-- What a Supabase project has and a plain PostgreSQL lacks: roles, the schemas auth and realtime, and their functions.
--
-- Not a migration: a hosted project forbids creating roles and anything in these schemas, and has all of it anyway.
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
  -- Whom the gateway's connections become: on its own it may do nothing but take one of the three roles.
  if not exists (select 1 from pg_roles where rolname = 'authenticator') then
    create role authenticator nologin noinherit;
  end if;
  if not pg_has_role('authenticator', 'service_role', 'member') then
    grant anon, authenticated, service_role to authenticator;
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

-- Who signs in by our gateway, in columns of the names that Supabase's have, so that triggers on auth.users and foreign
-- keys to it work in both places. No role but the owner reads these tables. Metadata is bounded because tokens carry it,
-- and tokens travel in headers.
create table if not exists auth.users (
  id uuid primary key default gen_random_uuid(),
  aud text not null default 'authenticated',
  role text not null default 'authenticated',
  email text unique check (email = lower(email)),
  encrypted_password text,
  email_confirmed_at timestamptz,
  last_sign_in_at timestamptz,
  raw_app_meta_data jsonb not null default '{}'
    check (jsonb_typeof(raw_app_meta_data) = 'object' and octet_length(raw_app_meta_data::text) <= 2048),
  raw_user_meta_data jsonb not null default '{}'
    check (jsonb_typeof(raw_user_meta_data) = 'object' and octet_length(raw_user_meta_data::text) <= 4096),
  is_anonymous boolean not null default false,
  banned_until timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
alter table auth.users enable row level security;

create table if not exists auth.sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users on delete cascade,
  method text not null,
  user_agent text not null default '',
  created_at timestamptz not null default now(),
  refreshed_at timestamptz not null default now()
);
create index if not exists sessions_user_id_idx on auth.sessions (user_id);
alter table auth.sessions enable row level security;

-- Tokens are stored as SHA-256 of their 256 random bits: whoever reads the table can use none of them.
create table if not exists auth.refresh_tokens (
  id bigint generated always as identity primary key,
  session_id uuid not null references auth.sessions on delete cascade,
  token_hash bytea not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
create index if not exists refresh_tokens_session_id_idx on auth.refresh_tokens (session_id);
alter table auth.refresh_tokens enable row level security;

-- Realtime's messages: who inserts one broadcasts it, and its policies say who may follow a private topic. Names, types and
-- grants are those of a hosted project; there, rows go by the day with their partition, here by prune_messages().
create schema if not exists realtime;
grant usage on schema realtime to public;

create table if not exists realtime.messages (
  id uuid primary key default gen_random_uuid(),
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  inserted_at timestamp not null default (now() at time zone 'utc'),
  updated_at timestamp not null default (now() at time zone 'utc')
);
create index if not exists messages_inserted_at_idx on realtime.messages (inserted_at);
alter table realtime.messages enable row level security;
grant select, insert on realtime.messages to anon, authenticated;
grant all on realtime.messages to service_role;

do $$
begin
  if not exists (select 1 from pg_publication where pubname = 'supabase_realtime_messages_publication') then
    create publication supabase_realtime_messages_publication for table realtime.messages with (publish = 'insert');
  end if;
end
$$;

-- The topic whose policies are being asked.
create or replace function realtime.topic() returns text
language sql stable set search_path = ''
as $$ select nullif(current_setting('realtime.topic', true), '') $$;

-- Broadcast to who follows a topic; a private one asks the policies of messages. With the owner's rights, because who may
-- send need not be one whom row level security lets pass.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
language sql security definer set search_path = ''
as $$
  insert into realtime.messages (payload, event, topic, private, extension)
  values (send.payload, send.event, send.topic, send.private, 'broadcast')
$$;

-- Delete up to p_limit messages that are older than p_age_s seconds. With the owner's rights, for whoever prunes tasks.
create or replace function realtime.prune_messages(p_age_s double precision, p_limit integer) returns integer
language plpgsql security definer set search_path = ''
as $$
declare
  pruned integer;
begin
  with old as materialized (
    select m.id from realtime.messages m
    where m.inserted_at < (now() at time zone 'utc') - make_interval(secs => p_age_s)
    order by m.inserted_at
    limit p_limit
    for update skip locked
  )
  delete from realtime.messages m using old where m.id = old.id;
  get diagnostics pruned = row_count;
  return pruned;
end
$$;

revoke all on function realtime.send(jsonb, text, text, boolean), realtime.prune_messages(double precision, integer)
  from public;
grant execute on function realtime.send(jsonb, text, text, boolean), realtime.prune_messages(double precision, integer)
  to service_role;
