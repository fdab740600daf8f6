-- Operators: people who look after the fleet, and what they do to it, by the dashboard or the command line.

-- Whether the caller's token makes them an operator. A user cannot write app_metadata; on Supabase only the service role can.
-- Callers see no row by this alone: policies ask it.
create function agent_worker.is_operator() returns boolean
language sql stable
set search_path = ''
return coalesce(auth.jwt() -> 'app_metadata' ->> 'agent_worker' = 'operator', false);

-- The least id there is for an operator, null for everybody else; see the policies for why they ask for a range of ids.
-- With RETURN the body is read now and not when a user calls it, who may not use this schema.
create function agent_worker.operators_lowest_id() returns uuid
language sql stable
set search_path = ''
return case when agent_worker.is_operator() then '00000000-0000-0000-0000-000000000000'::uuid end;

-- Ask for a stop of those that have not ended; returns each with its status before and after.
-- Index: primary key. Locks: the tasks' rows, in order.
create function agent_worker.cancel_tasks(p_ids uuid[]) returns table (id uuid, before text, after text)
language sql
set search_path = ''
set enable_seqscan = off
as $$
  with found as (
    select t.id, t.status
    from public.agent_task_requests t
    where t.id = any (p_ids)
    order by t.id
    for no key update
  ),
  asked as (
    update public.agent_task_requests t
    set cancel_requested_at = now()
    from found
    where t.id = found.id and found.status in ('pending', 'processing', 'waiting') and t.cancel_requested_at is null
    returning t.id, t.status
  )
  select found.id, found.status, coalesce(asked.status, found.status)
  from found
  left join asked on asked.id = found.id
$$;

-- Put what has ended back in its lane, at the end; returns each with its status before and after. The trigger
-- agent_task_requests_reopen grants attempts and clears what the task left. Index: primary key.
-- Locks: the tasks' rows, in order.
create function agent_worker.retry_tasks(p_ids uuid[]) returns table (id uuid, before text, after text)
language sql
set search_path = ''
set enable_seqscan = off
as $$
  with found as (
    select t.id, t.status
    from public.agent_task_requests t
    where t.id = any (p_ids)
    order by t.id
    for no key update
  ),
  reopened as (
    update public.agent_task_requests t
    set status = 'pending', seq = default, run_at = null
    from found
    where t.id = found.id and found.status in ('completed', 'failed', 'cancelled')
    returning t.id, t.status
  )
  select found.id, found.status, coalesce(reopened.status, found.status)
  from found
  left join reopened on reopened.id = found.id
$$;

-- Start no more tasks of a kind. Index: limits_kind_per_key_key.
create function agent_worker.pause_kind(p_kind text) returns void
language sql
set search_path = ''
as $$
  insert into agent_worker.limits as l (kind, per, paused_at)
  values (p_kind, 'all', now())
  on conflict (kind, per, key) do update set paused_at = coalesce(l.paused_at, now())
$$;

-- Start tasks of a kind again; false when it was not paused. Index: limits_kind_per_key_key.
create function agent_worker.resume_kind(p_kind text) returns boolean
language sql
set search_path = ''
as $$
  with only_paused as (
    delete from agent_worker.limits l
    where l.kind = p_kind and l.per = 'all' and l.paused_at is not null and coalesce(l.max_running, l.max_starts) is null
    returning l.id
  ),
  limited_too as (
    update agent_worker.limits l
    set paused_at = null
    where l.kind = p_kind and l.per = 'all' and l.paused_at is not null
      and coalesce(l.max_running, l.max_starts) is not null
    returning l.id
  )
  select exists (select 1 from only_paused) or exists (select 1 from limited_too)
$$;

-- Have a living worker finish what it runs and leave; returns its name, null when none has this id. It hears of it at once
-- where it listens, and with its next heartbeat at the latest. Index: workers_pkey.
create function agent_worker.drain_worker(p_worker_id uuid) returns text
language plpgsql
set search_path = ''
as $$
declare
  name text;
begin
  update agent_worker.workers w
  set drain_requested_at = coalesce(w.drain_requested_at, now())
  where w.id = p_worker_id and w.stopped_at is null
  returning w.name into name;
  if found then
    perform pg_notify('agent_worker', 'drain ' || p_worker_id);
  end if;
  return name;
end
$$;

-- The tasks that changed last, newest first. Each state is read from the newest end of its own index and no further
-- than needed, at most p_look_back rows of a lane or of the history; the rows themselves are fetched for the winners.
-- Index: agent_task_requests_claim_idx (a loose scan for the kinds, then each lane backwards: a task gets its seq
-- when it becomes pending), _run_at_idx, _held_idx, _finished_idx backwards.
create function agent_worker.newest_tasks(
  p_statuses text[], p_kind text, p_tenant text, p_code text, p_since timestamptz, p_limit integer, p_look_back integer
) returns table (
  id uuid, kind text, status text, priority smallint, attempt integer, max_attempts integer, user_id uuid,
  enterprise_id text, worker_id uuid, progress jsonb, error text, code text, run_at timestamptz,
  cancel_requested_at timestamptz, created_at timestamptz, started_at timestamptz, finished_at timestamptz,
  updated_at timestamptz
)
language plpgsql stable
set search_path = ''
set enable_seqscan = off
set jit = off
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
begin
  return query
  with recursive queued as (
    (select t.kind from public.agent_task_requests t
     where t.status = 'pending' and t.run_at is null and 'pending' = any (p_statuses)
     order by t.kind limit 1)
    union all
    select (select t.kind from public.agent_task_requests t
            where t.status = 'pending' and t.run_at is null and t.kind > queued.kind
            order by t.kind limit 1)
    from queued where queued.kind is not null
  ),
  due as (
    select newest.id, newest.updated_at
    from queued
    cross join generate_series(0, 9) as lane (priority)
    cross join lateral (
      select candidate.id, candidate.updated_at
      from (
        select t.id, t.updated_at, t.enterprise_id
        from public.agent_task_requests t
        where t.status = 'pending' and t.run_at is null and t.kind = queued.kind and t.priority = lane.priority
        order by t.seq desc
        limit p_look_back
      ) candidate
      where (p_tenant is null or candidate.enterprise_id = p_tenant)
        and (p_since is null or candidate.updated_at >= p_since)
      limit p_limit
    ) newest
    where queued.kind is not null and (p_kind is null or queued.kind = p_kind)
  ),
  scheduled as (
    select t.id, t.updated_at
    from public.agent_task_requests t
    where t.status = 'pending' and t.run_at is not null and 'pending' = any (p_statuses)
      and (p_kind is null or t.kind = p_kind)
      and (p_tenant is null or t.enterprise_id = p_tenant)
      and (p_since is null or t.updated_at >= p_since)
    order by t.run_at
    limit p_limit
  ),
  held as (
    select t.id, t.updated_at
    from public.agent_task_requests t
    where t.status in ('processing', 'waiting') and t.status = any (p_statuses)
      and (p_kind is null or t.kind = p_kind)
      and (p_tenant is null or t.enterprise_id = p_tenant)
      and (p_since is null or t.updated_at >= p_since)
    order by t.updated_at desc
    limit p_limit
  ),
  ended as (
    select candidate.id, candidate.updated_at
    from (
      select t.id, t.kind, t.status, t.enterprise_id, t.updated_at, t.response_payload
      from public.agent_task_requests t
      where t.finished_at is not null
        and t.finished_at >= coalesce(p_since, '-infinity')
        and p_statuses && array['completed', 'failed', 'cancelled']
      order by t.finished_at desc
      limit p_look_back
    ) candidate
    where candidate.status = any (p_statuses)
      and (p_kind is null or candidate.kind = p_kind)
      and (p_tenant is null or candidate.enterprise_id = p_tenant)
      and (p_code is null or candidate.response_payload ->> 'code' = p_code)
    limit p_limit
  ),
  newest as (
    select due.id, due.updated_at from due
    union all select scheduled.id, scheduled.updated_at from scheduled
    union all select held.id, held.updated_at from held
    union all select ended.id, ended.updated_at from ended
    order by updated_at desc
    limit p_limit
  )
  select t.id, t.kind, t.status, t.priority, t.attempt, t.max_attempts, t.user_id, t.enterprise_id, t.worker_id,
         t.progress,
         case when t.status in ('failed', 'cancelled') then t.response_payload ->> 'error' end,
         case when t.status in ('failed', 'cancelled') then t.response_payload ->> 'code' end,
         t.run_at, t.cancel_requested_at, t.created_at, t.started_at, t.finished_at, t.updated_at
  from newest
  join public.agent_task_requests t on t.id = newest.id
  order by newest.updated_at desc, t.id;
end
$$;

-- What waits for a worker, by kind: how many (counted up to p_count) and for how long the first of them. At most 100 kinds
-- and 100 lanes of each priority are looked at, so the cost is bounded however long the queue is: what a user inserts
-- decides how many of both there are. Index: agent_task_requests_claim_idx.
create function agent_worker.queued_kinds(p_count integer)
returns table (kind text, tasks bigint, oldest_s double precision)
language sql stable
set search_path = ''
set enable_seqscan = off
set jit = off
as $$
  with recursive queued as (
    (select t.kind, 1 as n from public.agent_task_requests t
     where t.status = 'pending' and t.run_at is null
     order by t.kind limit 1)
    union all
    select (select t.kind from public.agent_task_requests t
            where t.status = 'pending' and t.run_at is null and t.kind > queued.kind
            order by t.kind limit 1), queued.n + 1
    from queued where queued.kind is not null and queued.n < 100
  )
  select queued.kind, counted.tasks, extract(epoch from now() - heads.since)::double precision
  from queued
  cross join lateral (
    select count(*) as tasks
    from (
      select from public.agent_task_requests t
      where t.status = 'pending' and t.run_at is null and t.kind = queued.kind
      limit p_count
    ) waiting
  ) counted
  cross join lateral (
    select min(head.since) as since
    from generate_series(0, 9) as level (priority)
    cross join lateral (
      with recursive lane as (
        (select coalesce(t.enterprise_id, '') as enterprise_id,
                coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid) as user_id,
                t.updated_at as since, 1 as n
         from public.agent_task_requests t
         where t.status = 'pending' and t.run_at is null and t.kind = queued.kind and t.priority = level.priority
         order by coalesce(t.enterprise_id, '') collate "C",
                  coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid), t.seq
         limit 1)
        union all
        select next.enterprise_id, next.user_id, next.updated_at, lane.n + 1
        from lane
        cross join lateral (
          select coalesce(t.enterprise_id, '') as enterprise_id,
                 coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid) as user_id, t.updated_at
          from public.agent_task_requests t
          where t.status = 'pending' and t.run_at is null and t.kind = queued.kind and t.priority = level.priority
            and (coalesce(t.enterprise_id, '') collate "C",
                 coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid))
              > (lane.enterprise_id, lane.user_id)
          order by coalesce(t.enterprise_id, '') collate "C",
                   coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid), t.seq
          limit 1
        ) next
        where lane.n < 100
      )
      select lane.since from lane
    ) head
  ) heads
  where queued.kind is not null
$$;
