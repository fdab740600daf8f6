-- Checkpoints, children, and parking: how a task remembers, and how it waits without holding a worker.

-- Lock a held task; false when it has moved on.
create function agent_worker.hold(p_worker_id uuid, p_task_id uuid, p_attempt integer) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  perform 1 from public.agent_task_requests t
  where t.id = p_task_id and t.status = 'processing' and t.attempt = p_attempt and t.worker_id = p_worker_id
  for no key update;
  return found;
end
$$;

-- Store results of steps and notes of processors, after what their tasks said before: one statement, one commit.
-- A key comes at most once for a task. Locks: the tasks' rows, as append_events. Returns the ids of the tasks that are lost.
create function agent_worker.record_steps(
  p_worker_id uuid,
  p_ids uuid[], p_attempts integer[], p_seqs integer[], p_types text[], p_data jsonb[],
  p_step_ids uuid[], p_step_attempts integer[], p_step_keys text[], p_step_calls text[], p_step_values jsonb[]
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
  if cardinality(p_ids) > 0 then
    return query select agent_worker.append_events(p_worker_id, p_ids, p_attempts, p_seqs, p_types, p_data);
  end if;
  select array_agg(locked.id) into held
  from (
    select t.id
    from (select distinct e.id, e.attempt from unnest(p_step_ids, p_step_attempts) as e (id, attempt) order by e.id) lease
    join public.agent_task_requests t on t.id = lease.id
    where case when t.id = lease.id
      then t.status = 'processing' and t.attempt = lease.attempt and t.worker_id = p_worker_id end
    for no key update of t
  ) locked;

  insert into agent_worker.checkpoints (task_id, key, call, value)
  select e.id, e.key, e.call, e.value
  from unnest(p_step_ids, p_step_keys, p_step_calls, p_step_values) as e (id, key, call, value)
  where e.id = any (held)
  on conflict (task_id, key) do update set value = excluded.value;

  return query select agent_worker.lost(p_step_ids, held);
end
$$;

-- What a task remembers, in order of the keys, after one of them and so many at a time. Index: checkpoints_pkey.
create function agent_worker.load_checkpoints(p_task_id uuid, p_after text, p_limit integer)
returns table (key text, call text, value jsonb, is_done boolean)
language sql stable
set search_path = ''
as $$
  select c.key, c.call, c.value, c.is_done
  from agent_worker.checkpoints c
  where c.task_id = p_task_id and c.key > p_after
  order by c.key
  limit p_limit
$$;

-- Insert a task that goes on from what another one has finished: the same task with another payload, some of its
-- checkpoints, and a note. False when there is no such task. Index: checkpoints_pkey.
create function agent_worker.fork_task(
  p_task_id uuid, p_fork_id uuid, p_payload jsonb, p_keys text[], p_note_key text, p_note jsonb
) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  -- Only a task with a past looks at its checkpoints, hence resume.
  insert into public.agent_task_requests (
    id, kind, request_payload, user_id, enterprise_id, priority, max_attempts, timeout_s, resume
  )
  select p_fork_id, t.kind, p_payload, t.user_id, t.enterprise_id, t.priority, least(t.max_attempts, 25), t.timeout_s, 'retry'
  from public.agent_task_requests t
  where t.id = p_task_id;
  if not found then
    return false;
  end if;
  insert into agent_worker.checkpoints (task_id, key, call, value)
  select p_fork_id, c.key, c.call, c.value
  from agent_worker.checkpoints c
  where c.task_id = p_task_id and c.key = any (p_keys) and c.is_done;
  insert into agent_worker.checkpoints (task_id, key, call, value) values (p_fork_id, p_note_key, 'value', p_note);
  return true;
end
$$;

-- Insert a child once: the caller derives its id from the parent and the key. False when the task has moved on.
create function agent_worker.spawn(
  p_worker_id uuid, p_task_id uuid, p_attempt integer, p_key text, p_child_id uuid, p_kind text, p_payload jsonb
) returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if not agent_worker.hold(p_worker_id, p_task_id, p_attempt) then
    return false;
  end if;
  insert into public.agent_task_requests (id, kind, request_payload, user_id, enterprise_id, priority, parent_id)
  select p_child_id, p_kind, p_payload, t.user_id, t.enterprise_id, t.priority, t.id
  from public.agent_task_requests t
  where t.id = p_task_id
  on conflict (id) do nothing;
  insert into agent_worker.checkpoints (task_id, key, call, value)
  values (p_task_id, p_key, 'spawn', to_jsonb(p_child_id))
  on conflict (task_id, key) do nothing;
  return true;
end
$$;

-- End an attempt to wait for an answer; the attempt is not used up.
-- Returns 'waiting', or 'pending' when the answer is already there, 'cancelled' when somebody asked for a stop,
-- null when the task has moved on. The row is locked before the answer is looked for: whoever answers locks it
-- as well, so one of the two sees the other.
create function agent_worker.park(
  p_worker_id uuid, p_task_id uuid, p_attempt integer,
  p_key text, p_call text, p_child_id uuid, p_fields jsonb, p_timeout_s double precision
) returns text
language plpgsql
set search_path = ''
as $$
declare
  task public.agent_task_requests;
begin
  update public.agent_task_requests t
  set status = case when t.cancel_requested_at is null then 'waiting' else 'cancelled' end,
      response_payload = case when t.cancel_requested_at is null then null
        else agent_worker.failure('The task was cancelled before it finished.', 'cancelled', false) end,
      finished_at = case when t.cancel_requested_at is null then null else now() end,
      attempt = t.attempt - 1, worker_id = null, updated_at = now()
  where t.id = p_task_id and t.status = 'processing' and t.attempt = p_attempt and t.worker_id = p_worker_id
  returning t.* into task;
  if not found then
    return null;
  end if;
  perform agent_worker.announce(array[p_task_id]);
  if task.status = 'cancelled' then
    return task.status;
  end if;

  insert into agent_worker.checkpoints (task_id, key, call, is_done)
  values (p_task_id, p_key, p_call, false)
  on conflict (task_id, key) do nothing;

  if p_call = 'child' then
    update agent_worker.checkpoints c
    set value = jsonb_build_object('status', child.status, 'response', child.response_payload), is_done = true
    from public.agent_task_requests child
    where c.task_id = p_task_id and c.key = p_key and not c.is_done
      and child.id = p_child_id and child.parent_id = p_task_id
      and child.status in ('completed', 'failed', 'cancelled');
    -- A child that is gone (pruned, deleted), or another's, will never wake its parent.
    update agent_worker.checkpoints c
    set value = agent_worker.missing_child(), is_done = true
    where c.task_id = p_task_id and c.key = p_key and not c.is_done
      and not exists (
        select 1 from public.agent_task_requests child where child.id = p_child_id and child.parent_id = p_task_id
      );
  else
    insert into public.human_tasks (
      task_id, key, type, title, description, form, context, priority, assignee, user_id, enterprise_id, expires_at
    )
    values (
      p_task_id, p_key, p_fields ->> 'type', p_fields ->> 'title', p_fields ->> 'description', p_fields -> 'form',
      p_fields -> 'context', p_fields ->> 'priority', (p_fields ->> 'assignee')::uuid,
      task.user_id, task.enterprise_id, now() + make_interval(secs => p_timeout_s)
    )
    on conflict (task_id, key) do nothing;
  end if;

  perform 1 from agent_worker.checkpoints c where c.task_id = p_task_id and c.key = p_key and c.is_done;
  if found then
    perform agent_worker.resume_task(p_task_id);
    return 'pending';
  end if;
  return 'waiting';
end
$$;

-- Close questions whose time is up; their tasks wake and read that nobody answered.
-- Index: human_tasks_expires_idx. Locks: rows, SKIP LOCKED.
create function agent_worker.expire_questions(p_limit integer) returns integer
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  closed integer;
begin
  with late as materialized (
    select h.id from public.human_tasks h
    where h.status = 'pending' and h.expires_at <= now()
    order by h.expires_at
    limit p_limit
    for update skip locked
  )
  update public.human_tasks h
  set status = 'expired', updated_at = now()
  from late
  where h.id = late.id;
  get diagnostics closed = row_count;
  return closed;
end
$$;
