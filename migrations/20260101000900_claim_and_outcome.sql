-- How workers take tasks and write what became of them. All calls are batches; every write names the lease
-- (task, attempt, worker) and skips a row that has moved on, so a zombie's late result changes nothing.
--
-- Callers pass ids in ascending order: rows are then locked in one order by everybody.
-- Where a batch is joined to the table, plans are made anew for each call (0.2 ms): one that was made while the table was
-- tiny, and kept, would read the whole table for each row of a batch once it has grown. For the same reason enable_seqscan
-- and enable_hashjoin are off. A claim joins nothing: it picks ids lane by lane, then updates the rows of these ids, and
-- each step has one possible plan.
-- A lease is compared inside a CASE, which no index serves and the planner cannot take apart: each row is to be found by
-- its primary key. Taken apart, the lease's half about the worker invites a plan that reads everything the worker holds
-- once per row of the batch: 0.3 s for 1,000 rows instead of 12 ms.

-- What a worker learns of a task that it has claimed, in the order of the fields of agent_worker.domain.task.Task.
create type agent_worker.claimed as (
  id uuid, kind text, request_payload jsonb, attempt integer, max_attempts integer,
  created_at timestamptz, started_at timestamptz, priority smallint,
  user_id uuid, enterprise_id text, parent_id uuid, timeout_s integer, resume text, waited_s double precision, seq bigint,
  is_limited boolean
);

-- Begin the attempts of tasks whose rows the caller has locked; p_since says when each had last changed, which tells how
-- long it has waited, and p_limited names those that a limit counts. In no order.
-- One plan serves them all: of this table alone, rows by their primary key.
create function agent_worker.start(p_worker_id uuid, p_ids uuid[], p_since timestamptz[], p_limited uuid[])
returns setof agent_worker.claimed
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if p_ids is null or p_ids = '{}' then
    return;
  end if;
  return query
  update public.agent_task_requests t
  set status = 'processing', attempt = t.attempt + 1, worker_id = p_worker_id, started_at = now(), updated_at = now()
  where t.id = any (p_ids)
  returning
    t.id, t.kind, t.request_payload, t.attempt, t.max_attempts, t.created_at, t.started_at, t.priority,
    t.user_id, t.enterprise_id, t.parent_id, t.timeout_s, t.resume,
    extract(epoch from now() - p_since[array_position(p_ids, t.id)])::double precision,
    t.seq, t.id = any (p_limited);
end
$$;

-- Take up to p_limit due tasks, span after span in the order given, at most p_quotas of each, oldest first.
-- A span is a stretch of one kind and priority between two places (enterprise, user, seq), the low one included and the
-- high one not: one lane from its watermark on, or the gap between two lanes that the worker knows.
-- Index: agent_task_requests_claim_idx. Locks: rows, SKIP LOCKED.
-- Commits without waiting for the disk: a claim lost in a crash is a task that is still pending.
create function agent_worker.claim(
  p_worker_id uuid, p_kinds text[], p_priorities integer[],
  p_low_enterprises text[], p_low_users uuid[], p_low_seqs bigint[],
  p_high_enterprises text[], p_high_users uuid[], p_high_seqs bigint[],
  p_quotas integer[], p_limit integer
) returns setof agent_worker.claimed
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  picked uuid[];
  since timestamptz[];
begin
  perform set_config('synchronous_commit', 'off', true);
  if exists (select 1 from agent_worker.limits) then
    return query
    select * from agent_worker.claim_within_limits(
      p_worker_id, p_kinds, p_priorities, p_low_enterprises, p_low_users, p_low_seqs,
      p_high_enterprises, p_high_users, p_high_seqs, p_quotas, p_limit
    );
    return;
  end if;
  select array_agg(found.id), array_agg(found.updated_at) into picked, since
  from (
    select due.id, due.updated_at
    from unnest(
      p_kinds, p_priorities, p_low_enterprises, p_low_users, p_low_seqs,
      p_high_enterprises, p_high_users, p_high_seqs, p_quotas
    ) as span (kind, priority, low_enterprise, low_user, low_seq, high_enterprise, high_user, high_seq, quota)
    cross join lateral (
      select t.id, t.updated_at
      from public.agent_task_requests t
      where t.status = 'pending' and t.run_at is null and t.kind = span.kind and t.priority = span.priority
        and (
          coalesce(t.enterprise_id, '') collate "C",
          coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
          t.seq
        ) >= (span.low_enterprise, span.low_user, span.low_seq)
        and (
          coalesce(t.enterprise_id, '') collate "C",
          coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
          t.seq
        ) < (span.high_enterprise, span.high_user, span.high_seq)
      order by
        coalesce(t.enterprise_id, '') collate "C",
        coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
        t.seq
      limit span.quota
      for update skip locked
    ) due
    limit p_limit
  ) found;
  return query select * from agent_worker.start(p_worker_id, picked, since, '{}');
end
$$;

-- The same where limits are set: the spans' lanes one by one, and of each no more than its limits have room for.
-- Claims that meet limited tasks go one at a time: whoever counts sees what everybody before has taken.
-- When limits hold tasks back, a last row without an id says so, and in waited_s, if a rate does, for how many seconds.
create function agent_worker.claim_within_limits(
  p_worker_id uuid, p_kinds text[], p_priorities integer[],
  p_low_enterprises text[], p_low_users uuid[], p_low_seqs bigint[],
  p_high_enterprises text[], p_high_users uuid[], p_high_seqs bigint[],
  p_quotas integer[], p_limit integer
) returns setof agent_worker.claimed
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set enable_bitmapscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  nobody constant uuid := uuid '00000000-0000-0000-0000-000000000000';
  span record;
  lane record;
  room integer;
  room_wait_s double precision;
  free_slots integer := p_limit;
  quota integer;
  taken uuid[];
  attempts integer[];
  taken_since timestamptz[];
  picked uuid[] := array[]::uuid[];
  since timestamptz[] := array[]::timestamptz[];
  limited uuid[] := array[]::uuid[];
  is_counting boolean := false;
  is_held_back boolean := false;
  wait_s double precision;
begin
  for span in
    select s.*, level.is_limited
    from unnest(
      p_kinds, p_priorities, p_low_enterprises, p_low_users, p_low_seqs,
      p_high_enterprises, p_high_users, p_high_seqs, p_quotas
    ) with ordinality
      as s (kind, priority, low_enterprise, low_user, low_seq, high_enterprise, high_user, high_seq, quota, place)
    join lateral (
      select exists (select 1 from agent_worker.limits l where l.kind is null or l.kind = s.kind) as is_limited
    ) level on true
    where exists (
      select 1 from public.agent_task_requests t
      where t.status = 'pending' and t.run_at is null and t.kind = s.kind and t.priority = s.priority
    )
  loop
    exit when free_slots <= 0;
    quota := least(span.quota, free_slots);
    if span.is_limited and not is_counting then
      is_counting := true;
      perform pg_advisory_xact_lock(1635216433, 0);
      delete from agent_worker.running r
      where not exists (
        select 1 from public.agent_task_requests t
        where t.id = r.task_id and t.status = 'processing' and t.attempt = r.attempt
      );
    end if;
    while quota > 0 loop
      select coalesce(t.enterprise_id, '') as enterprise_id, coalesce(t.user_id, nobody) as user_id into lane
      from public.agent_task_requests t
      where t.status = 'pending' and t.run_at is null and t.kind = span.kind and t.priority = span.priority
        and (
          coalesce(t.enterprise_id, '') collate "C",
          coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
          t.seq
        ) >= (span.low_enterprise, span.low_user, span.low_seq)
        and (
          coalesce(t.enterprise_id, '') collate "C",
          coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
          t.seq
        ) < (span.high_enterprise, span.high_user, span.high_seq)
      order by
        coalesce(t.enterprise_id, '') collate "C",
        coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid),
        t.seq
      limit 1;
      exit when not found;
      if span.is_limited then
        select r.tasks, r.wait_s into room, room_wait_s
        from agent_worker.room(span.kind, lane.enterprise_id, lane.user_id) r;
        if room <= 0 then
          is_held_back := true;
          wait_s := least(wait_s, room_wait_s);
        end if;
      else
        room := null;
      end if;
      -- In a lane that begins before the span does, only what lies in the span.
      select array_agg(due.id), array_agg(due.attempt + 1), array_agg(due.updated_at) into taken, attempts, taken_since
      from (
        select t.id, t.attempt, t.updated_at
        from public.agent_task_requests t
        where t.status = 'pending' and t.run_at is null and t.kind = span.kind and t.priority = span.priority
          and coalesce(t.enterprise_id, '') collate "C" = lane.enterprise_id
          and coalesce(t.user_id, '00000000-0000-0000-0000-000000000000'::uuid) = lane.user_id
          and t.seq >= case
            when (span.low_enterprise, span.low_user) = (lane.enterprise_id, lane.user_id) then span.low_seq
            else 0 end
        order by t.seq
        limit greatest(least(room, quota), 0)
        for update skip locked
      ) due;
      if taken is not null then
        if span.is_limited then
          perform agent_worker.note_starts(span.kind, lane.enterprise_id, lane.user_id, taken, attempts);
          limited := limited || taken;
        end if;
        picked := picked || taken;
        since := since || taken_since;
        quota := quota - cardinality(taken);
        free_slots := free_slots - cardinality(taken);
      end if;
      span.low_enterprise := lane.enterprise_id;
      span.low_user := lane.user_id;
      span.low_seq := 9223372036854775807;
    end loop;
  end loop;

  return query select * from agent_worker.start(p_worker_id, picked, since, limited);
  if is_held_back then
    return query select (jsonb_populate_record(null::agent_worker.claimed, jsonb_build_object('waited_s', wait_s))).*;
  end if;
end
$$;

-- Write final outcomes: completed, failed or cancelled, together with the response, in one update each.
-- Returns the ids that are lost: they had moved on, and nothing of theirs was written. An outcome that the same call
-- wrote before is not lost (a connection may be cut between the commit and its reply).
create function agent_worker.finish(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_statuses text[], p_responses jsonb[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  written integer;
begin
  -- A child's end locks its parent, and a parent's end its children: parents first, so that everybody goes one way.
  if exists (select 1 from public.agent_task_requests t where t.parent_id is not null) then
    perform 1
    from public.agent_task_requests parent
    where parent.id in (
      select t.parent_id
      from unnest(p_ids) as o (id)
      join public.agent_task_requests t on t.id = o.id
      where t.parent_id is not null
    )
    order by parent.id
    for no key update;
  end if;
  update public.agent_task_requests t
  set status = o.status, response_payload = o.response, finished_at = now(), updated_at = now()
  from unnest(p_ids, p_attempts, p_statuses, p_responses) as o (id, attempt, status, response)
  where t.id = o.id
    and case when t.id = o.id then t.status = 'processing' and t.attempt = o.attempt and t.worker_id = p_worker_id end;
  get diagnostics written = row_count;
  perform agent_worker.announce(p_ids);
  if written < cardinality(p_ids) then
    return query
    select o.id
    from unnest(p_ids, p_attempts, p_statuses) as o (id, attempt, status)
    where not exists (
      select 1 from public.agent_task_requests t
      where t.id = o.id
        and case when t.id = o.id then t.status = o.status and t.attempt = o.attempt and t.worker_id = p_worker_id end
    );
  end if;
end
$$;

-- What of a batch was not written.
create function agent_worker.lost(p_ids uuid[], p_written uuid[]) returns setof uuid
language sql immutable
set search_path = ''
as $$
  select unnest(p_ids) except select unnest(p_written)
$$;

-- Put failed attempts back for another one after a delay in seconds; a task that somebody cancelled ends instead.
-- Returns the ids that are lost.
create function agent_worker.retry(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_delays_s double precision[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  written uuid[];
begin
  with moved as (
    update public.agent_task_requests t
    set status = case when t.cancel_requested_at is null then 'pending' else 'cancelled' end,
        response_payload = case when t.cancel_requested_at is null then null
          else agent_worker.failure('The task was cancelled before it finished.', 'cancelled', false) end,
        finished_at = case when t.cancel_requested_at is null then null else now() end,
        run_at = case when o.delay_s > 0 then now() + make_interval(secs => o.delay_s) end,
        resume = 'retry', seq = default, worker_id = null, updated_at = now()
    from unnest(p_ids, p_attempts, p_delays_s) as o (id, attempt, delay_s)
    where t.id = o.id
      and case when t.id = o.id then t.status = 'processing' and t.attempt = o.attempt and t.worker_id = p_worker_id end
    returning t.id
  )
  select array_agg(moved.id) into written from moved;
  if written is not null then
    perform pg_notify('agent_worker', 'schedule');
    perform agent_worker.announce(written);
  end if;
  return query select agent_worker.lost(p_ids, written);
end
$$;

-- Give tasks back without using up their attempt: the worker is shutting down, or, with a delay in seconds, what they
-- need is not to be had for a while. Returns the ids that are lost.
create function agent_worker.release(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_delays_s double precision[] default null
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  written uuid[];
begin
  with moved as (
    update public.agent_task_requests t
    set status = case when t.cancel_requested_at is null then 'pending' else 'cancelled' end,
        response_payload = case when t.cancel_requested_at is null then null
          else agent_worker.failure('The task was cancelled before it finished.', 'cancelled', false) end,
        finished_at = case when t.cancel_requested_at is null then null else now() end,
        attempt = t.attempt - 1,
        run_at = case when o.delay_s > 0 then now() + make_interval(secs => o.delay_s) end,
        resume = case when o.delay_s > 0 then 'postponed' else 'rescued' end,
        seq = default, worker_id = null, updated_at = now()
    from unnest(p_ids, p_attempts, p_delays_s) as o (id, attempt, delay_s)
    where t.id = o.id
      and case when t.id = o.id then t.status = 'processing' and t.attempt = o.attempt and t.worker_id = p_worker_id end
    returning t.id
  )
  select array_agg(moved.id) into written from moved;
  if written is not null then
    if 0 < any (p_delays_s) then
      perform pg_notify('agent_worker', 'schedule');
    end if;
    perform agent_worker.announce(written);
  end if;
  return query select agent_worker.lost(p_ids, written);
end
$$;

-- Append to the streams of held tasks. The worker numbers the events: it alone writes a task's stream while it holds
-- the task, and a batch that is sent again after a cut connection finds its rows and adds none.
-- Locks: the tasks' rows, so that a task cannot move on between the look and the write.
-- Returns the ids of the tasks that are lost.
create function agent_worker.append_events(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_seqs integer[], p_types text[], p_data jsonb[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  held uuid[];
begin
  select array_agg(locked.id) into held
  from (
    select t.id
    from (select distinct e.id, e.attempt from unnest(p_ids, p_attempts) as e (id, attempt) order by e.id) lease
    join public.agent_task_requests t on t.id = lease.id
    where case when t.id = lease.id
      then t.status = 'processing' and t.attempt = lease.attempt and t.worker_id = p_worker_id end
    for no key update of t
  ) locked;

  insert into public.agent_task_events (task_id, seq, type, data, attempt, user_id)
  select e.id, e.seq, e.type, e.data, e.attempt, t.user_id
  from unnest(p_ids, p_attempts, p_seqs, p_types, p_data) as e (id, attempt, seq, type, data)
  join public.agent_task_requests t on t.id = e.id
  where e.id = any (held)
  on conflict (task_id, seq) do nothing;

  perform agent_worker.announce(held);
  return query select agent_worker.lost(p_ids, held);
end
$$;

-- Show how far tasks are. No index holds the column, so the update is HOT. Returns the ids that are lost.
create function agent_worker.report_progress(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_progress jsonb[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  written uuid[];
begin
  with moved as (
    update public.agent_task_requests t
    set progress = o.progress, updated_at = now()
    from unnest(p_ids, p_attempts, p_progress) as o (id, attempt, progress)
    where t.id = o.id
      and case when t.id = o.id then t.status = 'processing' and t.attempt = o.attempt and t.worker_id = p_worker_id end
    returning t.id
  )
  select array_agg(moved.id) into written from moved;
  return query select agent_worker.lost(p_ids, written);
end
$$;
