-- What the dashboard asks and does, by PostgREST: functions for operators and for the service role.
--
-- Each is three: a thin wrapper in the schema public, with the caller's rights; a function of the schema agent_worker that
-- first makes sure who calls and then works with the owner's rights; and what it calls in there. The wrappers use RETURN,
-- whose body is read now: so users need no right to the schema, and the one to execute does nothing without it.
--
-- Every function returns JSON, times in ISO 8601 and spans in seconds. What could be long is bounded: counts stop at
-- counted_to, and of history the newest 20,000 tasks are read.

-- Refuse whoever is neither an operator, nor the service role, nor the owner of these functions.
create function agent_worker.require_operator() returns void
language plpgsql stable
set search_path = ''
as $$
declare
  -- Inside a SECURITY DEFINER function current_user is the owner; who called is the role that was set, or the session's.
  caller name := case current_setting('role') when 'none' then session_user else current_setting('role') end;
begin
  if agent_worker.is_operator()
    or pg_has_role(caller, 'service_role', 'member')
    or pg_has_role(caller, current_user, 'member')
  then
    return;
  end if;
  raise exception using
    errcode = '42501',
    message = 'only operators may do this',
    hint = 'A user becomes one by {"agent_worker": "operator"} in app_metadata, and signs in again.';
end
$$;

-- Workers that live, and those that vanished in the last hour. A worker is late when it has missed a heartbeat (silent for
-- more than half its lease), and gone when its lease is over. Index: workers_name_idx; the table is small.
create function agent_worker.seen_workers()
returns table (
  id uuid, name text, host text, pid integer, kinds text[], concurrency integer, in_flight integer, state text,
  health text, version text, lease_s double precision, heartbeat_age_s double precision, started_at timestamptz,
  drain_requested_at timestamptz
)
language sql stable
set search_path = ''
as $$
  select w.id, w.name, w.host, w.pid, w.kinds, w.concurrency, w.in_flight, w.state,
         case
           when w.stopped_at is not null or age.s > w.lease_s then 'gone'
           when age.s > w.lease_s / 2 then 'late'
           else 'live' end,
         w.version, w.lease_s, age.s, w.started_at, w.drain_requested_at
  from agent_worker.workers w
  cross join lateral (select extract(epoch from now() - w.heartbeat_at)::double precision as s) age
  where w.stopped_at is null or (w.state = 'lost' and w.stopped_at > now() - interval '1 hour')
$$;

-- {
--   "at": time,
--   "counts": {"pending", "scheduled", "processing", "waiting": number},     a count of counted_to means: or more
--   "counted_to": number,
--   "oldest_pending_s": number | null,      for how long the first task in the queue has been due
--   "recent": {"since": time, "completed", "failed", "cancelled": number},   of the last hour, or the newest 20,000
--   "workers": {"live", "late", "gone": number},
--   "slots": {"used", "total": number},     of workers that are not gone
--   "paused_kinds": string[]
-- }
-- Index: agent_task_requests_claim_idx, _run_at_idx, _held_idx, _finished_idx backwards.
create function agent_worker.operator_status() returns json
language plpgsql stable security definer
set search_path = ''
set enable_seqscan = off
set jit = off
as $$
declare
  most constant integer := 10000;
  history constant integer := 20000;
begin
  perform agent_worker.require_operator();
  return (
    with recent as materialized (
      select t.status, t.finished_at
      from public.agent_task_requests t
      where t.finished_at is not null and t.finished_at > now() - interval '1 hour'
      order by t.finished_at desc
      limit history
    )
    select json_build_object(
      'at', now(),
      'counts', json_build_object(
        'pending', (select count(*) from (
          select from public.agent_task_requests t where t.status = 'pending' and t.run_at is null limit most) counted),
        'scheduled', (select count(*) from (
          select from public.agent_task_requests t where t.status = 'pending' and t.run_at is not null limit most) counted),
        'processing', (select count(*) from (
          select from public.agent_task_requests t where t.status = 'processing' limit most) counted),
        'waiting', (select count(*) from (
          select from public.agent_task_requests t where t.status = 'waiting' limit most) counted)
      ),
      'counted_to', most,
      'oldest_pending_s', (select max(q.oldest_s) from agent_worker.queued_kinds(1) q),
      'recent', (
        select json_build_object(
          'since', case when count(*) < history then now() - interval '1 hour' else min(r.finished_at) end,
          'completed', count(*) filter (where r.status = 'completed'),
          'failed', count(*) filter (where r.status = 'failed'),
          'cancelled', count(*) filter (where r.status = 'cancelled')
        )
        from recent r
      ),
      'workers', (
        select json_build_object(
          'live', count(*) filter (where w.health = 'live'),
          'late', count(*) filter (where w.health = 'late'),
          'gone', count(*) filter (where w.health = 'gone')
        )
        from agent_worker.seen_workers() w
      ),
      'slots', (
        select json_build_object('used', coalesce(sum(w.in_flight), 0), 'total', coalesce(sum(w.concurrency), 0))
        from agent_worker.seen_workers() w where w.health <> 'gone'
      ),
      'paused_kinds', (
        select coalesce(json_agg(l.kind order by l.kind), '[]')
        from agent_worker.limits l where l.paused_at is not null
      )
    )
  );
end
$$;

-- [{
--   "id", "name", "host": string, "pid": number, "kinds": string[], "version": string,
--   "concurrency", "in_flight": number,     slots, and how many of them are used by its own word
--   "held": number,                         tasks it holds by the database's
--   "state": "running" | "draining" | "lost",
--   "health": "live" | "late" | "gone",
--   "heartbeat_age_s", "lease_s": number,
--   "tasks_return_in_s": number | null,     late or gone: when its tasks go back; null: it lives, or nobody is left to see
--   "started_at": time, "drain_requested_at": time | null
-- }], by name. Index: agent_task_requests_held_idx, once per worker.
create function agent_worker.operator_workers() returns json
language plpgsql stable security definer
set search_path = ''
set enable_seqscan = off
as $$
begin
  perform agent_worker.require_operator();
  return (
    select coalesce(json_agg(json_build_object(
      'id', w.id, 'name', w.name, 'host', w.host, 'pid', w.pid, 'kinds', w.kinds, 'version', w.version,
      'concurrency', w.concurrency, 'in_flight', w.in_flight,
      'held', (
        select count(*) from public.agent_task_requests t where t.worker_id = w.id and t.status = 'processing'
      ),
      'state', case when w.health = 'gone' then 'lost' else w.state end,
      'health', w.health, 'heartbeat_age_s', w.heartbeat_age_s, 'lease_s', w.lease_s,
      'tasks_return_in_s', case
        when w.health <> 'live' and exists (
          select 1 from agent_worker.seen_workers() other where other.health = 'live' and other.id <> w.id
        ) then greatest(w.lease_s - w.heartbeat_age_s, 0) end,
      'started_at', w.started_at, 'drain_requested_at', w.drain_requested_at
    ) order by w.name, w.id), '[]')
    from agent_worker.seen_workers() w
  );
end
$$;

-- {
--   "since", "until": time,                 since lies later than p_minutes ago where 20,000 tasks ended after it
--   "minutes": [{"at": time, "completed", "failed", "cancelled": number}],   by time; minutes without an end are left out
--   "completed", "failed", "cancelled": number,
--   "waited_s", "ran_s": {"p50", "p95": number | null}
-- }
-- waited_s is of tasks that took one attempt, from insert to start (a run_at counts as waiting); ran_s is of the last
-- attempt of completed tasks. p_kind null: all kinds. Index: agent_task_requests_finished_idx backwards.
create function agent_worker.operator_activity(p_minutes integer, p_kind text) returns json
language plpgsql stable security definer
set search_path = ''
set enable_seqscan = off
set jit = off
as $$
declare
  history constant integer := 20000;
begin
  perform agent_worker.require_operator();
  if p_minutes is null or p_minutes not between 1 and 1440 then
    raise exception using errcode = '22023', message = 'p_minutes must be 1 to 1440';
  end if;
  return (
    with read as materialized (
      select t.kind, t.status, t.created_at, t.started_at, t.finished_at, t.attempt
      from public.agent_task_requests t
      where t.finished_at is not null and t.finished_at > now() - make_interval(mins => p_minutes)
      order by t.finished_at desc
      limit history
    ),
    ended as (
      select r.status, date_trunc('minute', r.finished_at) as at,
             case when r.attempt = 1 then extract(epoch from r.started_at - r.created_at)::double precision end as waited_s,
             case when r.status = 'completed'
               then extract(epoch from r.finished_at - r.started_at)::double precision end as ran_s
      from read r
      where p_kind is null or r.kind = p_kind
    ),
    minutes as (
      select e.at,
             count(*) filter (where e.status = 'completed') as completed,
             count(*) filter (where e.status = 'failed') as failed,
             count(*) filter (where e.status = 'cancelled') as cancelled
      from ended e
      group by e.at
    )
    select json_build_object(
      'since', (
        select case when count(*) < history then now() - make_interval(mins => p_minutes) else min(r.finished_at) end
        from read r
      ),
      'until', now(),
      'minutes', (select coalesce(json_agg(m order by m.at), '[]') from minutes m),
      'completed', count(*) filter (where e.status = 'completed'),
      'failed', count(*) filter (where e.status = 'failed'),
      'cancelled', count(*) filter (where e.status = 'cancelled'),
      'waited_s', json_build_object(
        'p50', percentile_cont(0.5) within group (order by e.waited_s),
        'p95', percentile_cont(0.95) within group (order by e.waited_s)
      ),
      'ran_s', json_build_object(
        'p50', percentile_cont(0.5) within group (order by e.ran_s),
        'p95', percentile_cont(0.95) within group (order by e.ran_s)
      )
    )
    from ended e
  );
end
$$;

-- [{
--   "kind": string, "is_known": boolean,    whether any worker ever offered it; tasks of others fail after a minute
--   "is_paused", "is_limited": boolean,
--   "pending": number, "counted_to": number, "oldest_s": number | null,
--   "workers": number,                      living ones that offer it
--   "last_seen_at": time | null,            when a worker that offers it last came
--   "payload_schema": object | null         JSON Schema of request_payload
-- }], by kind: all that were ever offered and the first 100 of those that wait.
create function agent_worker.operator_kinds() returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  most constant integer := 10000;
begin
  perform agent_worker.require_operator();
  return (
    select coalesce(json_agg(json_build_object(
      'kind', each.kind,
      'is_known', k.kind is not null,
      'is_paused', exists (
        select 1 from agent_worker.limits l where l.kind = each.kind and l.per = 'all' and l.paused_at is not null
      ),
      'is_limited', exists (
        select 1 from agent_worker.limits l
        where (l.kind is null or l.kind = each.kind) and coalesce(l.max_running, l.max_starts) is not null
      ),
      'pending', coalesce(q.tasks, 0), 'counted_to', most, 'oldest_s', q.oldest_s,
      'workers', (
        select count(*) from agent_worker.seen_workers() w where w.health <> 'gone' and each.kind = any (w.kinds)
      ),
      'last_seen_at', k.last_seen_at,
      'payload_schema', k.payload_schema
    ) order by each.kind), '[]')
    from agent_worker.kinds k
    full join agent_worker.queued_kinds(most) q on q.kind = k.kind
    cross join lateral (select coalesce(k.kind, q.kind) as kind) each
  );
end
$$;

-- [{"id", "kind", "status", "priority", "attempt", "max_attempts", "user_id", "enterprise_id", "worker_id", "progress",
--   "error", "code", "run_at", "cancel_requested_at", "created_at", "started_at", "finished_at", "updated_at"}]:
-- the tasks that changed last, newest first, at most p_limit (1 to 200). Null lets all pass. Payloads are left out; read
-- them by id. PostgREST could filter the table as well, but no index serves "newest of all".
create function agent_worker.operator_tasks(
  p_statuses text[], p_kind text, p_tenant text, p_code text, p_since timestamptz, p_limit integer
) returns json
language plpgsql stable security definer
set search_path = ''
as $$
begin
  perform agent_worker.require_operator();
  if p_limit is null or p_limit not between 1 and 200 then
    raise exception using errcode = '22023', message = 'p_limit must be 1 to 200';
  end if;
  return (
    select coalesce(json_agg(t), '[]')
    from agent_worker.newest_tasks(
      array(
        select wanted.status
        from unnest(
          coalesce(p_statuses, '{pending,processing,waiting,completed,failed,cancelled}')
        ) as wanted (status)
        where p_code is null or wanted.status in ('failed', 'cancelled')
      ),
      p_kind, p_tenant, p_code, p_since, p_limit, 10000
    ) t
  );
end
$$;

-- [{"id": string, "before": status, "after": status, "error": string | null}], by id; who is unknown is left out.
-- At most 1,000 ids. A task whose dedupe key an unfinished one has stays as it is, and error says so.
create function agent_worker.operator_retry(p_ids uuid[]) returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  task uuid;
  changes json[] := array[]::json[];
begin
  perform agent_worker.require_operator();
  perform agent_worker.require_few(p_ids);
  begin
    return (
      select coalesce(
        json_agg(json_build_object('id', c.id, 'before', c.before, 'after', c.after, 'error', null) order by c.id), '[]')
      from agent_worker.retry_tasks(p_ids) c
    );
  exception when unique_violation then
    null;  -- one of them is in the way of the others: one by one
  end;
  for task in select distinct given.id from unnest(p_ids) as given (id) order by given.id loop
    begin
      changes := changes || (
        select array_agg(json_build_object('id', c.id, 'before', c.before, 'after', c.after, 'error', null))
        from agent_worker.retry_tasks(array[task]) c
      );
    exception when unique_violation then
      changes := changes || (
        select array_agg(json_build_object('id', t.id, 'before', t.status, 'after', t.status,
          'error', 'an unfinished task has its dedupe_key'))
        from public.agent_task_requests t where t.id = task
      );
    end;
  end loop;
  return array_to_json(changes);
end
$$;

-- [{"id": string, "before": status, "after": status}], by id; who is unknown is left out. At most 1,000 ids. A task that
-- runs is stopped by its worker, and reads processing before and after.
create function agent_worker.operator_cancel(p_ids uuid[]) returns json
language plpgsql security definer
set search_path = ''
as $$
begin
  perform agent_worker.require_operator();
  perform agent_worker.require_few(p_ids);
  return (select coalesce(json_agg(c order by c.id), '[]') from agent_worker.cancel_tasks(p_ids) c);
end
$$;

create function agent_worker.require_few(p_ids uuid[]) returns void
language plpgsql immutable
set search_path = ''
as $$
begin
  if p_ids is null or cardinality(p_ids) > 1000 then
    raise exception using errcode = '22023', message = 'p_ids must hold at most 1000 ids';
  end if;
end
$$;

-- {"kind": string, "is_paused": true}. Tasks of the kind that run go on; others wait.
create function agent_worker.operator_pause(p_kind text) returns json
language plpgsql security definer
set search_path = ''
as $$
begin
  perform agent_worker.require_operator();
  if p_kind is null or char_length(p_kind) not between 1 and 64 then
    raise exception using errcode = '22023', message = 'p_kind must have 1 to 64 characters';
  end if;
  perform agent_worker.pause_kind(p_kind);
  return json_build_object('kind', p_kind, 'is_paused', true);
end
$$;

-- {"kind": string, "is_paused": false}, whether it was paused or not.
create function agent_worker.operator_resume(p_kind text) returns json
language plpgsql security definer
set search_path = ''
as $$
begin
  perform agent_worker.require_operator();
  perform agent_worker.resume_kind(p_kind);
  return json_build_object('kind', p_kind, 'is_paused', false);
end
$$;

-- {"id": string, "name": string}: the worker finishes what it runs, gives back the rest and leaves; it claims no more.
create function agent_worker.operator_drain(p_worker_id uuid) returns json
language plpgsql security definer
set search_path = ''
as $$
declare
  name text;
begin
  perform agent_worker.require_operator();
  name := agent_worker.drain_worker(p_worker_id);
  if name is null then
    raise exception using
      errcode = 'PT404',
      message = 'no living worker has this id',
      hint = 'agent_worker_workers() lists them.';
  end if;
  return json_build_object('id', p_worker_id, 'name', name);
end
$$;

-- The newest tasks of a kind that name a stored definition: those that have not ended and those that ended in the last
-- day, at most 2,000 of each, out of the 20,000 that ended last. `agent` is the slug or the id that the task names.
-- Index: agent_task_requests_claim_idx, _run_at_idx, _held_idx, _finished_idx backwards.
create function agent_worker.recent_runs(p_kind text)
returns table (
  id uuid, agent text, status text, created_at timestamptz, started_at timestamptz, finished_at timestamptz,
  error text, code text
)
language sql stable
set search_path = ''
set enable_seqscan = off
set jit = off
as $$
  with ended as materialized (
    select t.id, t.kind
    from public.agent_task_requests t
    where t.finished_at is not null and t.finished_at > now() - interval '1 day'
    order by t.finished_at desc
    limit 20000
  ),
  found as (
    (select ended.id from ended where ended.kind = p_kind limit 2000)
    union all
    (select t.id from public.agent_task_requests t
     where t.status in ('processing', 'waiting') and t.kind = p_kind limit 2000)
    union all
    (select t.id from public.agent_task_requests t
     where t.status = 'pending' and t.run_at is null and t.kind = p_kind limit 2000)
    union all
    (select t.id from public.agent_task_requests t
     where t.status = 'pending' and t.run_at is not null and t.kind = p_kind order by t.run_at limit 2000)
  )
  select t.id, t.request_payload ->> 'agent', t.status, t.created_at, t.started_at, t.finished_at,
         case when t.status in ('failed', 'cancelled') then t.response_payload ->> 'error' end,
         case when t.status in ('failed', 'cancelled') then t.response_payload ->> 'code' end
  from found
  join public.agent_task_requests t on t.id = found.id
  where t.request_payload ? 'agent'
$$;

-- [{
--   "id", "slug": string, "version": number,
--   "name", "description", "format": string | null,     as its newest content says
--   "created_at", "updated_at": time,                   of the first and of the newest version
--   "runs": {"pending", "processing", "waiting", "completed", "failed", "cancelled": number}    see recent_runs()
-- }], by slug: the stored definitions of a kind that are in use.
create function agent_worker.operator_definitions(p_kind text) returns json
language plpgsql stable security definer
set search_path = ''
as $$
begin
  perform agent_worker.require_operator();
  return (
    with runs as materialized (
      select r.agent, r.status, count(*) as tasks
      from agent_worker.recent_runs(p_kind) r
      group by r.agent, r.status
    )
    select coalesce(json_agg(json_build_object(
      'id', d.id, 'slug', d.slug, 'version', d.version,
      'name', d.name, 'description', d.description, 'format', d.format,
      'created_at', d.created_at, 'updated_at', d.updated_at,
      'runs', (
        select json_object_agg(state.status, (
          select coalesce(sum(runs.tasks), 0)
          from runs
          where runs.status = state.status and runs.agent in (d.slug, d.id::text)
        ) order by state.n)
        from unnest(array['pending', 'processing', 'waiting', 'completed', 'failed', 'cancelled'])
          with ordinality as state (status, n)
      )
    ) order by d.slug collate "C"), '[]')
    from agent_worker.list_definitions(p_kind) d
  );
end
$$;

-- {
--   "id", "slug": string, "version": number, "content": object,
--   "created_at", "updated_at": time,                   of the first version and of this one
--   "versions": [{"version": number, "created_at": time}],      newest first
--   "runs": [{"id", "status": string, "version": number | null, "created_at": time, "started_at", "finished_at": time | null,
--             "error", "code": string | null}]
-- }
-- p_reference: slug or id. p_version null: the newest one. runs: the 20 newest of recent_runs() of any version, with the
-- version that each runs, null while it has not begun.
create function agent_worker.operator_definition(p_reference text, p_version integer, p_kind text) returns json
language plpgsql stable security definer
set search_path = ''
as $$
declare
  answer json;
begin
  perform agent_worker.require_operator();
  select json_build_object(
    'id', d.id, 'slug', d.slug, 'version', d.version, 'content', d.content,
    'created_at', d.created_at, 'updated_at', d.updated_at,
    'versions', (
      select json_agg(json_build_object('version', v.version, 'created_at', v.created_at) order by v.version desc)
      from agent_worker.list_versions(p_kind, p_reference) v
    ),
    'runs', (
      select coalesce(json_agg(json_build_object(
        'id', newest.id, 'status', newest.status, 'version', c.value #> '{agent,version}',
        'created_at', newest.created_at, 'started_at', newest.started_at, 'finished_at', newest.finished_at,
        'error', newest.error, 'code', newest.code
      ) order by newest.created_at desc, newest.id), '[]')
      from (
        select r.*
        from agent_worker.recent_runs(p_kind) r
        where r.agent in (d.slug, d.id::text)
        order by r.created_at desc, r.id
        limit 20
      ) newest
      left join agent_worker.checkpoints c on c.task_id = newest.id and c.key = 'run:start'
    )
  )
  into answer
  from agent_worker.find_definition(p_kind, p_reference, p_version) d;
  if answer is null then
    raise exception using
      errcode = 'PT404',
      message = 'there is no such definition',
      hint = 'agent_worker_definitions() lists them; of an archived one, name the version.';
  end if;
  return answer;
end
$$;

create function public.agent_worker_status() returns json
language sql stable set search_path = ''
return agent_worker.operator_status();

create function public.agent_worker_workers() returns json
language sql stable set search_path = ''
return agent_worker.operator_workers();

create function public.agent_worker_activity(p_minutes integer default 60, p_kind text default null) returns json
language sql stable set search_path = ''
return agent_worker.operator_activity(p_minutes, p_kind);

create function public.agent_worker_kinds() returns json
language sql stable set search_path = ''
return agent_worker.operator_kinds();

create function public.agent_worker_tasks(
  p_statuses text[] default null, p_kind text default null, p_tenant text default null, p_code text default null,
  p_since timestamptz default null, p_limit integer default 50
) returns json
language sql stable set search_path = ''
return agent_worker.operator_tasks(p_statuses, p_kind, p_tenant, p_code, p_since, p_limit);

-- Of the same name as a worker's call, which has other arguments: PostgREST tells them apart by the names of these.
create function public.agent_worker_retry(p_ids uuid[]) returns json
language sql set search_path = ''
return agent_worker.operator_retry(p_ids);

create function public.agent_worker_cancel(p_ids uuid[]) returns json
language sql set search_path = ''
return agent_worker.operator_cancel(p_ids);

create function public.agent_worker_pause(p_kind text) returns json
language sql set search_path = ''
return agent_worker.operator_pause(p_kind);

create function public.agent_worker_resume(p_kind text) returns json
language sql set search_path = ''
return agent_worker.operator_resume(p_kind);

create function public.agent_worker_drain(p_worker_id uuid) returns json
language sql set search_path = ''
return agent_worker.operator_drain(p_worker_id);

create function public.agent_worker_definitions(p_kind text default 'pipeline') returns json
language sql stable set search_path = ''
return agent_worker.operator_definitions(p_kind);

create function public.agent_worker_definition(
  p_reference text, p_version integer default null, p_kind text default 'pipeline'
) returns json
language sql stable set search_path = ''
return agent_worker.operator_definition(p_reference, p_version, p_kind);

revoke all on function
  agent_worker.require_operator(), agent_worker.require_few(uuid[]), agent_worker.seen_workers(),
  agent_worker.recent_runs(text), agent_worker.operator_definitions(text),
  agent_worker.operator_definition(text, integer, text),
  public.agent_worker_definitions(text), public.agent_worker_definition(text, integer, text),
  agent_worker.operator_status(), agent_worker.operator_workers(), agent_worker.operator_activity(integer, text),
  agent_worker.operator_kinds(),
  agent_worker.operator_tasks(text[], text, text, text, timestamptz, integer),
  agent_worker.operator_retry(uuid[]), agent_worker.operator_cancel(uuid[]),
  agent_worker.operator_pause(text), agent_worker.operator_resume(text), agent_worker.operator_drain(uuid),
  public.agent_worker_status(), public.agent_worker_workers(), public.agent_worker_activity(integer, text),
  public.agent_worker_kinds(),
  public.agent_worker_tasks(text[], text, text, text, timestamptz, integer),
  public.agent_worker_retry(uuid[]), public.agent_worker_cancel(uuid[]),
  public.agent_worker_pause(text), public.agent_worker_resume(text), public.agent_worker_drain(uuid)
from public, anon, authenticated;

grant execute on function
  agent_worker.operator_definitions(text), agent_worker.operator_definition(text, integer, text),
  public.agent_worker_definitions(text), public.agent_worker_definition(text, integer, text),
  agent_worker.operator_status(), agent_worker.operator_workers(), agent_worker.operator_activity(integer, text),
  agent_worker.operator_kinds(),
  agent_worker.operator_tasks(text[], text, text, text, timestamptz, integer),
  agent_worker.operator_retry(uuid[]), agent_worker.operator_cancel(uuid[]),
  agent_worker.operator_pause(text), agent_worker.operator_resume(text), agent_worker.operator_drain(uuid),
  public.agent_worker_status(), public.agent_worker_workers(), public.agent_worker_activity(integer, text),
  public.agent_worker_kinds(),
  public.agent_worker_tasks(text[], text, text, text, timestamptz, integer),
  public.agent_worker_retry(uuid[]), public.agent_worker_cancel(uuid[]),
  public.agent_worker_pause(text), public.agent_worker_resume(text), public.agent_worker_drain(uuid)
to authenticated, service_role;
