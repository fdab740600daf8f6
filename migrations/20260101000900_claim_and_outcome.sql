-- How workers take tasks and write what became of them. All calls are batches; every write names the lease
-- (task, attempt, worker) and skips a row that has moved on, so a zombie's late result changes nothing.
--
-- Callers pass ids in ascending order: rows are then locked in one order by everybody.
-- enable_seqscan and enable_hashjoin are off inside, because plans are cached while the table may still be tiny.
-- A lease is compared inside a CASE, which no index serves and the planner cannot take apart: each row is to be found by
-- its primary key. Taken apart, the lease's half about the worker invites a plan that reads everything the worker holds
-- once per row of the batch: 0.3 s for 1,000 rows instead of 12 ms.

-- Take up to p_limit due tasks, span after span in the order given, at most p_quotas of each, oldest first.
-- A span is a stretch of one kind and priority from (low tenant, low seq) up to but without (high tenant, high seq):
-- one tenant's line from its watermark on, or the gap between two tenants that the worker knows.
-- Index: agent_task_requests_claim_idx. Locks: rows, SKIP LOCKED.
-- Commits without waiting for the disk: a claim lost in a crash is a task that is still pending.
create function agent_worker.claim(
  p_worker_id uuid, p_kinds text[], p_priorities smallint[],
  p_low_tenants text[], p_low_seqs bigint[], p_high_tenants text[], p_high_seqs bigint[],
  p_quotas integer[], p_limit integer
) returns table (
  id uuid, kind text, request_payload jsonb, attempt integer, max_attempts integer, priority smallint,
  user_id uuid, enterprise_id text, parent_id uuid, timeout_s integer, resume text,
  created_at timestamptz, started_at timestamptz, waited_s double precision, seq bigint
)
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  perform set_config('synchronous_commit', 'off', true);
  return query
  with picked as (
    select due.id, due.updated_at
    from unnest(p_kinds, p_priorities, p_low_tenants, p_low_seqs, p_high_tenants, p_high_seqs, p_quotas)
      as span (kind, priority, low_tenant, low_seq, high_tenant, high_seq, quota)
    cross join lateral (
      select t.id, t.updated_at
      from public.agent_task_requests t
      where t.status = 'pending' and t.run_at is null and t.kind = span.kind and t.priority = span.priority
        and (coalesce(t.enterprise_id, t.user_id::text, '') collate "C", t.seq) >= (span.low_tenant, span.low_seq)
        and (coalesce(t.enterprise_id, t.user_id::text, '') collate "C", t.seq) < (span.high_tenant, span.high_seq)
      order by coalesce(t.enterprise_id, t.user_id::text, '') collate "C", t.seq
      limit span.quota
      for update skip locked
    ) due
    limit p_limit
  )
  update public.agent_task_requests t
  set status = 'processing', attempt = t.attempt + 1, worker_id = p_worker_id, started_at = now(), updated_at = now()
  from picked
  where t.id = picked.id
  returning
    t.id, t.kind, t.request_payload, t.attempt, t.max_attempts, t.priority,
    t.user_id, t.enterprise_id, t.parent_id, t.timeout_s, t.resume,
    t.created_at, t.started_at, extract(epoch from now() - picked.updated_at)::double precision, t.seq;
end
$$;

-- Write final outcomes: completed, failed or cancelled, together with the response, in one update each.
-- Returns the ids written, now or by the same call before (a connection may be cut between the commit and its reply);
-- an id that is missing had moved on.
create function agent_worker.finish(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_statuses text[], p_responses jsonb[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
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
  return query
  update public.agent_task_requests t
  set status = o.status, response_payload = o.response, finished_at = now(), updated_at = now()
  from unnest(p_ids, p_attempts, p_statuses, p_responses) as o (id, attempt, status, response)
  where t.id = o.id
    and case when t.id = o.id then t.status = 'processing' and t.attempt = o.attempt and t.worker_id = p_worker_id end
  returning t.id;
  get diagnostics written = row_count;
  if written < cardinality(p_ids) then
    return query
    select t.id
    from unnest(p_ids, p_attempts, p_statuses) as o (id, attempt, status)
    join public.agent_task_requests t on t.id = o.id
    where t.status = o.status and t.attempt = o.attempt and t.worker_id = p_worker_id
      and t.finished_at < now();
  end if;
  perform agent_worker.announce(p_ids);
end
$$;

-- Put failed attempts back for another one after a delay in seconds; a task that somebody cancelled ends instead.
create function agent_worker.retry(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_delays_s double precision[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
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
  returning t.id;
  if found then
    perform pg_notify('agent_worker', 'schedule');
    perform agent_worker.announce(p_ids);
  end if;
end
$$;

-- Give tasks back without using up their attempt: the worker is shutting down, or, with a delay in seconds, what they
-- need is not to be had for a while.
create function agent_worker.release(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_delays_s double precision[] default null
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
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
  returning t.id;
  if found then
    if (0 < all (p_delays_s)) is not true then
      perform pg_notify('agent_worker', 'task');
    end if;
    if 0 < any (p_delays_s) then
      perform pg_notify('agent_worker', 'schedule');
    end if;
    perform agent_worker.announce(p_ids);
  end if;
end
$$;

-- Append to the streams of held tasks. The worker numbers the events: it alone writes a task's stream while it holds
-- the task, and a batch that is sent again after a cut connection finds its rows and adds none.
-- Locks: the tasks' rows, so that a task cannot move on between the look and the write.
-- Returns the ids of the tasks that are still held.
create function agent_worker.append_events(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_seqs integer[], p_types text[], p_data jsonb[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
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
  return query select unnest(held);
end
$$;

-- Show how far tasks are. No index holds the column, so the update is HOT.
create function agent_worker.report_progress(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_progress jsonb[]
) returns setof uuid
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  return query
  update public.agent_task_requests t
  set progress = o.progress, updated_at = now()
  from unnest(p_ids, p_attempts, p_progress) as o (id, attempt, progress)
  where t.id = o.id
    and case when t.id = o.id then t.status = 'processing' and t.attempt = o.attempt and t.worker_id = p_worker_id end
  returning t.id;
end
$$;
