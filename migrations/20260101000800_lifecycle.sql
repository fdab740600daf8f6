-- What follows when a row changes, whoever changes it: a client, a worker, or a person in a table editor.

-- Tell clients that follow these tasks to look again; at most 200 ids fit one notification of 8,000 bytes.
--
-- Nobody is told while nobody follows, for a NOTIFY makes commits wait for each other. A follower holds a share of a lock
-- from before its first look (agent_worker/db/queries/follow.sql); who is granted the whole of it here is alone, and who
-- comes to follow meanwhile waits until this transaction has ended and its writes can be seen. The first key of the lock
-- is "awf1" in ASCII.
create function agent_worker.announce(p_ids uuid[]) returns void
language plpgsql
set search_path = ''
as $$
begin
  if pg_try_advisory_xact_lock(1635214897, 0) then
    return;
  end if;
  for n in 1 .. coalesce(array_length(p_ids, 1), 0) by 200 loop
    perform pg_notify('agent_worker_events', array_to_string(p_ids[n : n + 199], ' '));
  end loop;
end
$$;

-- Put a waiting task back in its lane. Locks: the task's row.
create function agent_worker.resume_task(p_task_id uuid) returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.agent_task_requests
  set status = 'pending', resume = 'answered', seq = default, run_at = null, updated_at = now()
  where id = p_task_id and status = 'waiting';
  if found then
    perform agent_worker.announce(array[p_task_id]);
  end if;
end
$$;

-- A client asks for a stop. What nobody runs ends at once; what runs is stopped by its worker.
create function agent_worker.request_cancel() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if old.cancel_requested_at is not null or old.status in ('completed', 'failed', 'cancelled') then
    new.cancel_requested_at := old.cancel_requested_at;
    return new;
  end if;
  new.cancel_requested_at := now();
  new.updated_at := now();
  if old.status = 'processing' then
    perform pg_notify('agent_worker', 'cancel ' || new.id);
  else
    new.status := 'cancelled';
    new.finished_at := now();
    new.response_payload := agent_worker.failure('The task was cancelled before it finished.', 'cancelled', false);
    perform agent_worker.announce(array[new.id]);
  end if;
  return new;
end
$$;

-- The response of a task that did not succeed, as clients read it.
create function agent_worker.failure(p_error text, p_code text, p_retryable boolean) returns jsonb
language sql immutable
set search_path = ''
as $$ select jsonb_build_object('error', p_error, 'code', p_code, 'retryable', p_retryable) $$;

-- What a parent reads that waits for a task which is not, or no longer, a child of its own.
create function agent_worker.missing_child() returns jsonb
language sql immutable
set search_path = ''
as $$
  select jsonb_build_object('status', 'failed', 'response',
    agent_worker.failure('The task has no such child; it may have been deleted.', 'child_missing', false))
$$;

create trigger agent_task_requests_cancel
before update of cancel_requested_at on public.agent_task_requests
for each row
when (new.cancel_requested_at is distinct from old.cancel_requested_at)
execute function agent_worker.request_cancel();

-- Somebody sets a task back to pending by hand, or redrives one that ended: grant it attempts and a clean slate.
-- Steps that are done stay done; what nobody answered, and children that failed, are asked for again.
create function agent_worker.reopen_task() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if old.status in ('completed', 'failed', 'cancelled') then
    new.max_attempts := new.attempt + least(old.max_attempts, 25);
    delete from agent_worker.checkpoints
    where task_id = new.id and call in ('human', 'client', 'child') and value ->> 'status' <> 'completed';
    delete from public.human_tasks where task_id = new.id and status in ('cancelled', 'expired');
  else
    new.max_attempts := greatest(new.max_attempts, new.attempt + 1);
  end if;
  if new.seq = old.seq then
    new.seq := nextval('public.agent_task_requests_seq_seq');
  end if;
  new.response_payload := null;
  new.cancel_requested_at := null;
  new.progress := null;
  new.worker_id := null;
  new.started_at := null;
  new.finished_at := null;
  new.resume := 'retry';
  new.updated_at := now();
  return new;
end
$$;

create trigger agent_task_requests_reopen
before update of status on public.agent_task_requests
for each row
when (
  new.status = 'pending' and old.status <> 'pending'
  -- An unchanged seq tells a hand: whatever moves tasks here gives them a new one.
  and (old.status in ('completed', 'failed', 'cancelled') or new.attempt >= new.max_attempts or new.seq = old.seq)
)
execute function agent_worker.reopen_task();

-- A child has ended: store its outcome for the parent that waits for it, and wake the parent.
-- The parent's row is locked first, so that it cannot park between the look and the wake.
create function agent_worker.wake_parent() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform 1 from public.agent_task_requests where id = new.parent_id for no key update;
  update agent_worker.checkpoints
  set value = jsonb_build_object('status', new.status, 'response', new.response_payload), is_done = true
  where task_id = new.parent_id and key = 'wait:' || new.id and not is_done;
  if found then
    perform agent_worker.resume_task(new.parent_id);
  end if;
  return null;
end
$$;

create trigger agent_task_requests_wake_parent
after update on public.agent_task_requests
for each row
when (
  new.parent_id is not null
  and new.status in ('completed', 'failed', 'cancelled')
  and old.status not in ('completed', 'failed', 'cancelled')
)
execute function agent_worker.wake_parent();

-- A task ended without an answer: withdraw its open questions and stop its children.
create function agent_worker.withdraw_dependents() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Whoever answers holds the question and then wants this task: waiting for it would be a deadlock.
  update public.human_tasks set status = 'cancelled'
  where id in (
    select h.id from public.human_tasks h where h.task_id = new.id and h.status = 'pending' for update skip locked
  );
  update public.agent_task_requests
  set cancel_requested_at = now()
  where parent_id = new.id and status in ('pending', 'processing', 'waiting');
  return null;
end
$$;

create trigger agent_task_requests_withdraw
after update on public.agent_task_requests
for each row
when (new.status in ('failed', 'cancelled') and old.status in ('pending', 'processing', 'waiting'))
execute function agent_worker.withdraw_dependents();

-- Someone answers: check that the question is open, and note who and when.
create function agent_worker.admit_answer() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if old.status <> 'pending' then
    raise exception using
      errcode = 'PT409',
      message = format('this question is %s; it takes no answer', old.status),
      hint = 'Load it again to see its response.';
  end if;
  new.updated_at := now();
  if new.response is not null then
    new.status := 'completed';
    new.responded_at := now();
    new.responded_by := coalesce(auth.uid(), new.responded_by);
  end if;
  return new;
end
$$;

create trigger human_tasks_admit_answer
before update on public.human_tasks
for each row
when (new.response is distinct from old.response or new.status is distinct from old.status)
execute function agent_worker.admit_answer();

-- A question is closed (answered, withdrawn, expired): store that for its task and wake the task.
-- The task's row is locked first, for the reason given at wake_parent().
create function agent_worker.close_question() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform 1 from public.agent_task_requests where id = new.task_id for no key update;
  update agent_worker.checkpoints
  set value = jsonb_build_object('status', new.status, 'response', new.response), is_done = true
  where task_id = new.task_id and key = new.key and not is_done;
  if found then
    perform agent_worker.resume_task(new.task_id);
  end if;
  return null;
end
$$;

create trigger human_tasks_close
after update on public.human_tasks
for each row
when (old.status = 'pending' and new.status <> 'pending')
execute function agent_worker.close_question();

-- Tasks are deleted: their events and checkpoints go with them, and a parent that waits for one learns of it.
create function agent_worker.forget_tasks() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  parents uuid[];
  parent uuid;
begin
  select array_agg(distinct gone.parent_id) into parents
  from gone
  where gone.parent_id is not null and gone.status not in ('completed', 'failed', 'cancelled');
  if parents is not null then
    perform 1 from public.agent_task_requests where id = any (parents) order by id for no key update;
    for parent in
      update agent_worker.checkpoints c
      set value = agent_worker.missing_child(), is_done = true
      from gone
      where c.task_id = gone.parent_id and c.key = 'wait:' || gone.id and not c.is_done
      returning c.task_id
    loop
      perform agent_worker.resume_task(parent);
    end loop;
  end if;
  delete from public.agent_task_events e using gone where e.task_id = gone.id;
  delete from agent_worker.checkpoints c using gone where c.task_id = gone.id;
  return null;
end
$$;

create trigger agent_task_requests_forget
after delete on public.agent_task_requests
referencing old table as gone
for each statement
execute function agent_worker.forget_tasks();
