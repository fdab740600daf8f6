-- Streamed text by Realtime Broadcast: who follows a task gets its text as it is said, on a private topic of its own, and
-- the table gets it in few, large rows. Only where Realtime's functions are: on Supabase, and where our bootstrap ran.

-- Whether the caller can broadcast in this database. Asked once, when a worker that wants to starts.
create function agent_worker.can_broadcast() returns boolean
language sql stable
set search_path = ''
as $$
  select coalesce(
    has_function_privilege(to_regprocedure('realtime.send(jsonb, text, text, boolean)'), 'execute'), false
  )
$$;

-- Tell who follows held tasks what they say: one message per task and call, event "delta", on the topic task:<id>.
-- p_seqs is the number that the row will have which holds this text in the end, p_parts counts from 0 within it, p_events
-- are arrays of {type, data}. Returns the ids of the tasks that are lost: of these nothing is sent.
--
-- The lease is looked at and not locked, for a lock would be a write per message. What a rescue overtakes in between does
-- no harm: clients drop it at the attempt-start that follows.
create function agent_worker.broadcast_deltas(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_seqs integer[], p_parts integer[], p_events jsonb[]
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
  select array_agg(t.id) into held
  from unnest(p_ids, p_attempts) as lease (id, attempt)
  join public.agent_task_requests t on t.id = lease.id
  where case when t.id = lease.id
    then t.status = 'processing' and t.attempt = lease.attempt and t.worker_id = p_worker_id end;

  perform realtime.send(
    jsonb_build_object(
      'task_id', said.id, 'attempt', said.attempt, 'seq', said.seq, 'part', said.part, 'events', said.events
    ),
    'delta', 'task:' || said.id, true
  )
  from unnest(p_ids, p_attempts, p_seqs, p_parts, p_events) as said (id, attempt, seq, part, events)
  where said.id = any (held);

  return query select agent_worker.lost(p_ids, held);
end
$$;

-- The task that a topic is about, null when it is about none.
create function agent_worker.task_of_topic(p_topic text) returns uuid
language sql immutable
set search_path = ''
as $$
  select case
    when p_topic ~ '^task:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then substr(p_topic, 6)::uuid
  end
$$;

-- Who sees a task may follow its broadcasts: the question in the policy is asked with the user's own rights.
do $$
begin
  if to_regclass('realtime.messages') is null then
    return;
  end if;
  create policy "users receive the broadcasts of the tasks they see" on realtime.messages
    for select to authenticated
    using (
      extension = 'broadcast'
      and exists (
        select 1 from public.agent_task_requests t
        where t.id = (select agent_worker.task_of_topic((select realtime.topic())))
      )
    );
exception when insufficient_privilege then
  raise warning 'realtime.messages belongs to another role: without a policy of its own, nobody may follow task:<id>';
end
$$;
