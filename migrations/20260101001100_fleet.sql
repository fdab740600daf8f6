-- Workers' lives and the fleet's upkeep. Every function is safe on all workers at once.

-- Enter a worker, or return the name of the living worker that already has its name.
-- p_payload_schemas: an object of JSON Schemas by kind; kinds that describe no payload are left out.
create function agent_worker.register_worker(
  p_id uuid, p_name text, p_host text, p_pid integer, p_kinds text[], p_concurrency integer, p_version text,
  p_lease_s double precision, p_payload_schemas jsonb default '{}'
) returns text
language plpgsql
set search_path = ''
as $$
begin
  update agent_worker.workers w
  set state = 'lost', stopped_at = now()
  where w.name = p_name and w.id <> p_id and w.stopped_at is null
    and w.heartbeat_at < now() - make_interval(secs => w.lease_s);
  insert into agent_worker.workers as w (id, name, host, pid, kinds, concurrency, version, lease_s)
  values (p_id, p_name, p_host, p_pid, p_kinds, p_concurrency, p_version, p_lease_s)
  on conflict (id) do update
  set state = 'running', heartbeat_at = now(), stopped_at = null;
  insert into agent_worker.kinds as k (kind, payload_schema)
  select offered.kind, p_payload_schemas -> offered.kind
  from unnest(p_kinds) as offered (kind)
  on conflict (kind) do update set last_seen_at = now(), payload_schema = excluded.payload_schema;
  return null;
exception when unique_violation then
  return (select format('%s (pid %s on %s)', w.name, w.pid, w.host)
          from agent_worker.workers w where w.name = p_name and w.stopped_at is null);
end
$$;

-- Say that a worker lives, and revive it if it was given up (its tasks are gone by then: fenced, not lost).
-- A beat that arrives after the worker signed off changes nothing.
-- Returns the held tasks that somebody asked to cancel, and whether somebody asked the worker to drain. Not known means:
-- register again; the row is gone, or another worker took the name of the one that was given up.
-- Index: agent_task_requests_held_idx.
create function agent_worker.heartbeat(p_worker_id uuid, p_in_flight integer)
returns table (is_known boolean, cancel_ids uuid[], is_drain_asked boolean)
language plpgsql
set search_path = ''
as $$
declare
  asked timestamptz;
begin
  perform set_config('synchronous_commit', 'off', true);
  update agent_worker.workers w
  set heartbeat_at = now(), in_flight = p_in_flight,
      stopped_at = case when w.state = 'stopped' then w.stopped_at end,
      state = case when w.state = 'lost' then 'running' else w.state end
  where w.id = p_worker_id
  returning w.drain_requested_at into asked;
  return query select found, agent_worker.cancel_requests(p_worker_id), asked is not null;
exception when unique_violation then
  return query select false, '{}'::uuid[], false;
end
$$;

-- Held tasks that somebody asked to cancel. Index: agent_task_requests_held_idx.
-- By the ids of held tasks it reads these rows and no more, however many index entries an old snapshot keeps.
create function agent_worker.cancel_requests(p_worker_id uuid, p_ids uuid[]) returns uuid[]
language sql stable
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
  select coalesce(array_agg(t.id), '{}')
  from unnest(p_ids) as held (id)
  join public.agent_task_requests t on t.id = held.id
  where case when t.id = held.id
    then t.worker_id = p_worker_id and t.status = 'processing' and t.cancel_requested_at is not null end
$$;

create function agent_worker.cancel_requests(p_worker_id uuid) returns uuid[]
language sql stable
set search_path = ''
as $$
  select coalesce(array_agg(t.id), '{}')
  from public.agent_task_requests t
  where t.worker_id = p_worker_id and t.status = 'processing' and t.cancel_requested_at is not null
$$;

-- What a worker holds, as the database sees it. Index: agent_task_requests_held_idx.
create function agent_worker.held_tasks(p_worker_id uuid) returns table (id uuid, attempt integer)
language sql stable
set search_path = ''
as $$
  select t.id, t.attempt
  from public.agent_task_requests t
  where t.worker_id = p_worker_id and t.status = 'processing'
$$;

-- What a task did before this attempt: the number of its last event, 0 when it has said nothing.
-- Index: agent_task_events_pkey, read backwards.
create function agent_worker.last_event_seq(p_task_id uuid) returns integer
language sql stable
set search_path = ''
as $$
  select coalesce(max(e.seq), 0)
  from public.agent_task_events e
  where e.task_id = p_task_id
$$;

-- A worker leaves: 'draining' while it finishes what it holds, then 'stopped'. What it still holds then goes back
-- without using up its attempt, known to the worker or not (the answer to a claim may have been lost).
create function agent_worker.sign_off(p_worker_id uuid, p_state text) returns void
language plpgsql
set search_path = ''
as $$
begin
  update agent_worker.workers
  set state = p_state, heartbeat_at = now(), in_flight = case when p_state = 'stopped' then 0 else in_flight end,
      stopped_at = case when p_state = 'stopped' then now() end
  where id = p_worker_id;
  if p_state = 'stopped' then
    perform agent_worker.release(p_worker_id, array_agg(t.id order by t.id), array_agg(t.attempt order by t.id))
    from public.agent_task_requests t
    where t.worker_id = p_worker_id and t.status = 'processing'
    having count(*) > 0;
  end if;
end
$$;

-- Take tasks back from workers that stopped sending heartbeats, or fail those that have no attempt left.
-- Index: agent_task_requests_held_idx. A holder without any row counts as dead. Locks: rows, SKIP LOCKED.
-- A last row without an id says in how many seconds the next lease ends, should no heartbeat come: then is the time to
-- look again.
create function agent_worker.rescue(p_limit integer)
returns table (id uuid, kind text, status text, next_expiry_s double precision)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  dead uuid[];
  ids uuid[] := array[]::uuid[];
begin
  update agent_worker.workers w
  set state = 'lost', stopped_at = now()
  where w.stopped_at is null and w.heartbeat_at < now() - make_interval(secs => w.lease_s);

  -- Probes of the dead, and of the gaps between all known workers for holders that nobody knows. What the living hold
  -- is not looked at: under an old snapshot their line of the index is long with tasks that ended since.
  select array_agg(found.worker_id) into dead
  from (
    select w.id as worker_id
    from agent_worker.workers w
    where w.stopped_at is not null
      and exists (select 1 from public.agent_task_requests t where t.worker_id = w.id and t.status = 'processing')
    union all
    select stranger.worker_id
    from (
      select known.id as low, lead(known.id, 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) over (order by known.id) as high
      from (
        select w.id from agent_worker.workers w
        union all select '00000000-0000-0000-0000-000000000000'::uuid
      ) known
    ) gap
    cross join lateral (
      with recursive holder as (
        (select t.worker_id from public.agent_task_requests t
         where t.status = 'processing' and t.worker_id > gap.low and t.worker_id < gap.high
         order by t.worker_id limit 1)
        union all
        select (select t.worker_id from public.agent_task_requests t
                where t.status = 'processing' and t.worker_id > holder.worker_id and t.worker_id < gap.high
                order by t.worker_id limit 1)
        from holder where holder.worker_id is not null
      )
      select holder.worker_id from holder
    ) stranger
  ) found
  where found.worker_id is not null;

  for id, kind, status in
  with taken as (
    select t.id
    from public.agent_task_requests t
    where t.worker_id = any (coalesce(dead, '{}')) and t.status = 'processing'
    limit p_limit
    for update skip locked
  ),
  moved as (
    update public.agent_task_requests t
    set status = case
          when t.cancel_requested_at is not null then 'cancelled'
          when t.attempt < t.max_attempts then 'pending'
          else 'failed' end,
        response_payload = case
          when t.cancel_requested_at is not null
            then agent_worker.failure('The task was cancelled before it finished.', 'cancelled', false)
          when t.attempt < t.max_attempts then null
          else agent_worker.failure('The worker that ran this task stopped responding, and no attempt is left.', 'worker_lost', true) end,
        finished_at = case when t.cancel_requested_at is null and t.attempt < t.max_attempts then null else now() end,
        resume = 'rescued', seq = default, worker_id = null, updated_at = now()
    from taken
    where t.id = taken.id
    returning t.id, t.kind, t.status, t.attempt, t.user_id, t.response_payload
  ),
  told as (
    insert into public.agent_task_events (task_id, seq, type, data, attempt, user_id)
    select
      m.id,
      coalesce((select max(e.seq) from public.agent_task_events e where e.task_id = m.id), 0) + 1,
      case when m.status = 'pending' then 'attempt-failed' else 'error' end,
      case when m.status = 'pending'
        then jsonb_build_object('attempt', m.attempt, 'code', 'worker_lost',
          'error', 'The worker that ran this attempt stopped responding.', 'retryInS', 0)
        else jsonb_build_object('errorType', 'execution_error', 'source', 'platform',
          'message', m.response_payload ->> 'error', 'code', m.response_payload ->> 'code',
          'retryable', (m.response_payload -> 'retryable')::boolean) end,
      m.attempt, m.user_id
    from moved m
  )
  select m.id, m.kind, m.status from moved m
  loop
    ids := ids || id;
    return next;
  end loop;
  if cardinality(ids) > 0 then
    perform agent_worker.announce(ids);
  end if;
  return query
  select null::uuid, null::text, null::text, (
    select min(extract(epoch from w.heartbeat_at - now()) + w.lease_s)::double precision
    from agent_worker.workers w
    where w.stopped_at is null
  );
end
$$;

-- Move tasks whose run_at has come into their lanes. Returns how many, and the seconds until the next one is due
-- (null when nothing is scheduled). Index: agent_task_requests_run_at_idx. Locks: rows, SKIP LOCKED.
create function agent_worker.stage(p_limit integer)
returns table (staged integer, next_due_s double precision)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  moved integer;
begin
  -- In a subquery of WHERE the limit would hold for each time it runs, and a join may run it once per row.
  with due as materialized (
    select t.id from public.agent_task_requests t
    where t.status = 'pending' and t.run_at <= now()
    order by t.run_at
    limit p_limit
    for update skip locked
  )
  update public.agent_task_requests t
  set run_at = null, seq = default, updated_at = now()
  from due
  where t.id = due.id;
  get diagnostics moved = row_count;
  return query
  select moved, (
    select extract(epoch from t.run_at - now())::double precision
    from public.agent_task_requests t
    where t.status = 'pending' and t.run_at is not null
    order by t.run_at
    limit 1
  );
end
$$;

-- Fail tasks of kinds that no worker has ever offered, once they are p_grace_s seconds old.
-- Kinds in the queue are found by a loose scan over agent_task_requests_claim_idx. Locks: rows, SKIP LOCKED.
create function agent_worker.fail_unknown_kinds(p_grace_s double precision, p_limit integer)
returns table (id uuid, kind text)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  ids uuid[] := array[]::uuid[];
begin
  for id, kind in
  with recursive queued as (
    (select t.kind from public.agent_task_requests t
     where t.status = 'pending' and t.run_at is null
     order by t.kind limit 1)
    union all
    select (select t.kind from public.agent_task_requests t
            where t.status = 'pending' and t.run_at is null and t.kind > queued.kind
            order by t.kind limit 1)
    from queued where queued.kind is not null
  ),
  taken as (
    select t.id
    from queued
    join public.agent_task_requests t on t.kind = queued.kind and t.status = 'pending' and t.run_at is null
    where queued.kind is not null
      and not exists (select 1 from agent_worker.kinds k where k.kind = queued.kind)
      and t.created_at < now() - make_interval(secs => p_grace_s)
    limit p_limit
    for update of t skip locked
  )
  update public.agent_task_requests t
  set status = 'failed', finished_at = now(), updated_at = now(),
      response_payload = agent_worker.failure(
        format('No worker has ever offered the kind %L. Known kinds: %s.', t.kind,
          coalesce((select string_agg(k.kind, ', ' order by k.kind) from agent_worker.kinds k), 'none')),
        'unknown_kind', false)
  from taken
  where t.id = taken.id
  returning t.id, t.kind
  loop
    ids := ids || id;
    return next;
  end loop;
  perform agent_worker.announce(ids);
end
$$;

-- Delete tasks that ended more than p_retention_s seconds ago, oldest first, and workers that left as long ago; and where
-- our bootstrap made Realtime's messages, those that are older than an hour.
-- Index: agent_task_requests_finished_idx. Locks: rows, SKIP LOCKED.
create function agent_worker.prune(p_retention_s double precision, p_limit integer) returns integer
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  pruned integer;
begin
  with old as materialized (
    select t.id from public.agent_task_requests t
    where t.finished_at < now() - make_interval(secs => p_retention_s)
    order by t.finished_at
    limit p_limit
    for update skip locked
  )
  delete from public.agent_task_requests t using old where t.id = old.id;
  get diagnostics pruned = row_count;
  delete from agent_worker.workers w where w.stopped_at < now() - make_interval(secs => p_retention_s);
  if has_function_privilege(to_regprocedure('realtime.prune_messages(double precision, integer)'), 'execute') then
    perform realtime.prune_messages(3600, 20000);
  end if;
  return pruned;
end
$$;

-- Seconds that the longest waiting head of these kinds' lanes has been due.
-- Index: agent_task_requests_claim_idx, once per lane.
create function agent_worker.oldest_pending(p_kinds text[]) returns double precision
language sql stable
set search_path = ''
set enable_seqscan = off
as $$
  select coalesce(max(extract(epoch from now() - head.updated_at)), 0)::double precision
  from unnest(p_kinds) as offered (kind)
  cross join generate_series(0, 9) as lane (priority)
  cross join lateral (
    select t.updated_at
    from public.agent_task_requests t
    where t.status = 'pending' and t.run_at is null and t.kind = offered.kind and t.priority = lane.priority
    order by t.seq
    limit 1
  ) head
$$;

-- How much work the workers of these kinds have: due tasks and tasks that run, each counted up to p_limit. What waits
-- for an answer or for its run_at needs no worker. For autoscalers: the caller's role needs no right to any row.
-- Index: agent_task_requests_claim_idx, agent_task_requests_run_at_idx, agent_task_requests_held_idx.
create function agent_worker.backlog(p_kinds text[], p_limit integer) returns bigint
language sql stable security definer
set search_path = ''
set enable_seqscan = off
as $$
  select
    (select count(*) from (
      select from public.agent_task_requests t
      where t.status = 'pending' and t.run_at is null and t.kind = any (p_kinds)
      limit p_limit
    ) waiting)
    + (select count(*) from (
      -- Staged by a worker; with none left, nobody else would see that they are due.
      select from public.agent_task_requests t
      where t.status = 'pending' and t.run_at <= now() and t.kind = any (p_kinds)
      limit p_limit
    ) unstaged)
    + (select count(*) from (
      select from public.agent_task_requests t
      where t.status = 'processing' and t.kind = any (p_kinds)
      limit p_limit
    ) held)
$$;
