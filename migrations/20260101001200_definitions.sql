-- Definitions: what tasks run by name instead of bringing it along, kept by version. A version never changes.
create table agent_worker.definitions (
  id uuid primary key default gen_random_uuid(),
  kind text not null
    constraint "kind must have 1 to 64 characters" check (char_length(kind) between 1 and 64),
  slug text not null
    constraint "slug must be at most 128 lower-case letters, digits and dashes"
    check (slug collate "C" ~ '^[a-z0-9][a-z0-9-]{0,127}$')
    -- A reference is a slug or an id, so no slug may look like an id.
    constraint "slug must not look like an id"
    check (slug collate "C" !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'),
  -- The newest one.
  version integer not null,
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (kind, slug)
);

create table agent_worker.definition_versions (
  definition_id uuid not null references agent_worker.definitions (id) on delete cascade,
  version integer not null,
  -- Of the kind pipeline {settings, protocol, prompts, references}.
  content jsonb not null
    constraint "content must be a JSON object" check (jsonb_typeof(content) = 'object')
    constraint "content must take at most 40 MiB" check (pg_column_size(content) <= 41943040),
  -- SHA-256 of the content, by which a push tells whether there is anything new.
  digest text not null,
  created_at timestamptz not null default now(),
  primary key (definition_id, version)
);

alter table agent_worker.definitions enable row level security;
alter table agent_worker.definition_versions enable row level security;

comment on table agent_worker.definitions is 'What tasks run by name, such as pipelines; the content is in definition_versions.';
comment on column agent_worker.definitions.archived_at is 'No new task finds it by its name alone; those that name a version do.';

-- Store a definition under its slug, as the next version unless its newest one has the same content; an archived one is
-- in use again. Pushes of one slug wait for each other. Index: definitions_kind_slug_key. Locks: the definition's row.
create function agent_worker.push_definition(p_kind text, p_slug text, p_content jsonb)
returns table (id uuid, slug text, version integer, is_new boolean)
language plpgsql
set search_path = ''
as $$
#variable_conflict use_column
declare
  found_row agent_worker.definitions;
  new_digest constant text := encode(sha256(convert_to(p_content::text, 'UTF8')), 'hex');
begin
  insert into agent_worker.definitions as d (kind, slug, version)
  values (p_kind, p_slug, 0)
  on conflict (kind, slug) do update set slug = d.slug
  returning d.* into found_row;

  slug := found_row.slug;
  id := found_row.id;
  version := found_row.version;
  is_new := not exists (
    select 1 from agent_worker.definition_versions v
    where v.definition_id = found_row.id and v.version = found_row.version and v.digest = new_digest
  );
  if is_new then
    version := found_row.version + 1;
    insert into agent_worker.definition_versions (definition_id, version, content, digest)
    values (found_row.id, found_row.version + 1, p_content, new_digest);
  end if;
  if is_new or found_row.archived_at is not null then
    update agent_worker.definitions d
    set version = case when is_new then found_row.version + 1 else d.version end, archived_at = null, updated_at = now()
    where d.id = found_row.id;
  end if;
  return next;
end
$$;

-- The id that a reference means: it is one, or the slug of a definition of this kind; null when there is none.
-- Index: definitions_kind_slug_key, definitions_pkey.
create function agent_worker.definition_id(p_kind text, p_reference text) returns uuid
language sql stable
set search_path = ''
as $$
  select d.id
  from agent_worker.definitions d
  where d.kind = p_kind
    and (
      d.slug = p_reference
      or d.id = case
        when p_reference collate "C" ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_reference::uuid
      end
    )
$$;

-- One version of a definition, with the time when it was pushed; the newest one when none is named, which is none at all
-- of a definition that is archived. Index: definitions_kind_slug_key, definition_versions_pkey.
create function agent_worker.find_definition(p_kind text, p_reference text, p_version integer)
returns table (id uuid, slug text, version integer, content jsonb, created_at timestamptz, updated_at timestamptz)
language sql stable
set search_path = ''
as $$
  select d.id, d.slug, v.version, v.content, d.created_at, v.created_at
  from agent_worker.definitions d
  join agent_worker.definition_versions v on v.definition_id = d.id and v.version = coalesce(p_version, d.version)
  where d.id = agent_worker.definition_id(p_kind, p_reference) and (p_version is not null or d.archived_at is null)
$$;

-- The definitions of a kind that are in use, by slug, with what their newest content says of itself under `settings`.
-- Index: definitions_kind_slug_key, definition_versions_pkey.
create function agent_worker.list_definitions(p_kind text)
returns table (
  id uuid, slug text, version integer, name text, description text, format text,
  created_at timestamptz, updated_at timestamptz
)
language sql stable
set search_path = ''
as $$
  select d.id, d.slug, d.version, about.settings ->> 'name', about.settings ->> 'description',
         about.settings ->> 'format', d.created_at, v.created_at
  from agent_worker.definitions d
  join agent_worker.definition_versions v on v.definition_id = d.id and v.version = d.version
  cross join lateral (select v.content -> 'settings' as settings) about
  where d.kind = p_kind and d.archived_at is null
  order by d.slug collate "C"
$$;

-- The versions of a definition, newest first; also of an archived one. Index: definition_versions_pkey.
create function agent_worker.list_versions(p_kind text, p_reference text)
returns table (version integer, created_at timestamptz)
language sql stable
set search_path = ''
as $$
  select v.version, v.created_at
  from agent_worker.definition_versions v
  where v.definition_id = agent_worker.definition_id(p_kind, p_reference)
  order by v.version desc
$$;

-- Let no new task find a definition by its name alone; false when there is none in use. Index: definitions_kind_slug_key.
create function agent_worker.archive_definition(p_kind text, p_reference text) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  update agent_worker.definitions d
  set archived_at = now(), updated_at = now()
  where d.id = agent_worker.definition_id(p_kind, p_reference) and d.archived_at is null;
  return found;
end
$$;
