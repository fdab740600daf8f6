-- How many tasks may run at once, and how many may start in a while: over a kind, of each enterprise, of each user.
--
-- Limits are exact: claims of limited kinds go one at a time (an advisory lock, held for the length of a claim) and count
-- what runs. There is no counter that every claim and every end would update: what runs is noted in a small table when it
-- is claimed, and the next claim forgets the notes whose task no longer runs by the task's own row, however it ended.
-- Kinds without limits are claimed as if this file did not exist.

create table agent_worker.limits (
  id bigint generated always as identity primary key,
  -- null: all kinds together.
  kind text,
  per text not null default 'all'
    constraint "per must be all, tenant or user" check (per in ('all', 'tenant', 'user')),
  -- One tenant (an enterprise_id) or user; null: each of them. What is said of one replaces what is said of each.
  key text,
  max_running integer
    constraint "max_running must be 0 to 1000000" check (max_running between 0 and 1000000),
  max_starts integer
    constraint "max_starts must be 1 to 1000000" check (max_starts between 1 and 1000000),
  period_s integer
    constraint "period_s must be 1 to 86400 seconds" check (period_s between 1 and 86400),
  paused_at timestamptz,
  created_at timestamptz not null default now(),
  constraint "a limit needs max_running, max_starts or paused_at"
    check (coalesce(max_running, max_starts) is not null or paused_at is not null),
  constraint "max_starts and period_s go together" check ((max_starts is null) = (period_s is null)),
  constraint "a key needs per tenant or per user" check (key is null or per <> 'all'),
  constraint "only a kind is paused" check (paused_at is null or (kind is not null and per = 'all')),
  unique nulls not distinct (kind, per, key)
);

-- Tasks of limited kinds that were claimed, until the next claim finds that they no longer run.
create table agent_worker.running (
  task_id uuid primary key,
  attempt integer not null,
  kind text not null,
  enterprise_id text not null,
  user_id uuid not null
);
create index running_kind_idx on agent_worker.running (kind);
create index running_enterprise_idx on agent_worker.running (enterprise_id);
create index running_user_idx on agent_worker.running (user_id);

-- How many tasks a limit with a period let through, one row per claim and key; only ever added to, then deleted.
create table agent_worker.starts (
  id bigint generated always as identity,
  limit_id bigint not null,
  key text not null,
  started_at timestamptz not null,
  tasks integer not null,
  primary key (limit_id, key, started_at, id) include (tasks)
);

alter table agent_worker.limits enable row level security;
alter table agent_worker.running enable row level security;
alter table agent_worker.starts enable row level security;

-- A limit changed: what ran before it was there is counted from now on, and workers look again.
create function agent_worker.limits_changed() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(1635216433, 0);
  insert into agent_worker.running (task_id, attempt, kind, enterprise_id, user_id)
  select t.id, t.attempt, t.kind, coalesce(t.enterprise_id, ''),
         coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid)
  from public.agent_task_requests t
  where t.status = 'processing'
    and exists (select 1 from agent_worker.limits l where l.kind is null or l.kind = t.kind)
  on conflict (task_id) do update set attempt = excluded.attempt;
  delete from agent_worker.starts s where not exists (select 1 from agent_worker.limits l where l.id = s.limit_id);
  perform pg_notify('agent_worker', 'look');
  return null;
end
$$;

create trigger limits_changed
after insert or update or delete on agent_worker.limits
for each statement
execute function agent_worker.limits_changed();

-- The limits that hold for a lane, with the key under which each counts it.
create function agent_worker.limits_of(p_kind text, p_enterprise text, p_user uuid)
returns table (id bigint, kind text, per text, key text, max_running integer, max_starts integer, period_s integer, is_paused boolean)
language sql stable
set search_path = ''
as $$
  select l.id, l.kind, l.per, lane.key, l.max_running, l.max_starts, l.period_s, l.paused_at is not null
  from agent_worker.limits l
  cross join lateral (
    select case l.per
      when 'all' then ''
      when 'tenant' then nullif(p_enterprise, '')
      else nullif(p_user, '00000000-0000-0000-0000-000000000000'::uuid)::text
    end as key
  ) lane
  where (l.kind is null or l.kind = p_kind)
    and (l.per = 'all' or l.key = lane.key or (
      l.key is null and lane.key is not null and not exists (
        select 1 from agent_worker.limits own
        where own.kind is not distinct from l.kind and own.per = l.per and own.key = lane.key
      )
    ))
$$;

-- How many more tasks of a lane may start now, null without bound; and if a rate forbids the next, for how many seconds.
create function agent_worker.room(p_kind text, p_enterprise text, p_user uuid, out tasks integer, out wait_s double precision)
language sql volatile
set search_path = ''
as $$
  select
    min(least(
      case when l.is_paused then 0 end,
      l.max_running - running.tasks,
      l.max_starts - started.tasks
    )),
    max(extract(epoch from started.first + make_interval(secs => l.period_s) - clock_timestamp()))
      filter (where started.tasks >= l.max_starts)
  from agent_worker.limits_of(p_kind, p_enterprise, p_user) l
  cross join lateral (
    select count(*)::integer as tasks
    from agent_worker.running r
    where l.max_running is not null
      and (l.kind is null or r.kind = l.kind)
      and case l.per when 'all' then true when 'tenant' then r.enterprise_id = p_enterprise else r.user_id = p_user end
  ) running
  cross join lateral (
    select coalesce(sum(s.tasks), 0)::integer as tasks, min(s.started_at) as first
    from agent_worker.starts s
    where s.limit_id = l.id and s.key = l.key
      and s.started_at > clock_timestamp() - make_interval(secs => l.period_s)
  ) started
$$;

-- Note that tasks of one lane start now.
create function agent_worker.note_starts(p_kind text, p_enterprise text, p_user uuid, p_ids uuid[], p_attempts integer[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into agent_worker.running (task_id, attempt, kind, enterprise_id, user_id)
  select o.id, o.attempt, p_kind, p_enterprise, p_user
  from unnest(p_ids, p_attempts) as o (id, attempt)
  on conflict (task_id) do update set attempt = excluded.attempt;
  delete from agent_worker.starts s
  using agent_worker.limits_of(p_kind, p_enterprise, p_user) l
  where s.limit_id = l.id and s.key = l.key
    and s.started_at < clock_timestamp() - make_interval(secs => l.period_s);
  insert into agent_worker.starts (limit_id, key, started_at, tasks)
  select l.id, l.key, clock_timestamp(), cardinality(p_ids)
  from agent_worker.limits_of(p_kind, p_enterprise, p_user) l
  where l.max_starts is not null;
end
$$;
