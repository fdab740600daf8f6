-- What happens when a row comes in: bad input is refused with a sentence and a hint, and workers are woken.

-- Refuse what no processor could use, fill in the tenant from the JWT, and drop a run_at that is past.
-- The trigger's WHEN keeps it off the path of a plain insert.
create function agent_worker.admit_task() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  if jsonb_typeof(new.request_payload) <> 'object' then
    raise exception using
      errcode = '23514',
      message = format('request_payload must be a JSON object, not a JSON %s', jsonb_typeof(new.request_payload)),
      hint = 'Send an object such as {"prompt": "Hello"}.';
  end if;
  if pg_column_size(new.request_payload) > 16777216 then
    raise exception using
      errcode = '23514',
      message = format('request_payload takes %s; the limit is 16 MiB', pg_size_pretty(pg_column_size(new.request_payload)::bigint)),
      hint = 'Store large input elsewhere and send a link to it.';
  end if;
  if new.run_at > now() + interval '10 years' then
    raise exception using
      errcode = '23514',
      message = 'run_at lies more than 10 years ahead',
      hint = 'Leave run_at out to run the task now.';
  end if;
  if new.run_at <= now() then
    new.run_at := null;
  elsif new.run_at is not null then
    perform pg_notify('agent_worker', 'schedule');
  end if;
  new.enterprise_id := coalesce(claims #>> '{app_metadata,enterprise_id}', new.enterprise_id);
  return new;
end
$$;

create trigger agent_task_requests_admit
before insert on public.agent_task_requests
for each row
when (
  new.run_at is not null
  or jsonb_typeof(new.request_payload) <> 'object'
  or pg_column_size(new.request_payload) > 16777216
  or current_setting('request.jwt.claims', true) <> ''
)
execute function agent_worker.admit_task();

-- Wake whoever sleeps, and nobody else: a NOTIFY makes commits wait for each other.
--
-- For each kind one idle worker keeps watch. Before it sleeps, it takes the kind's lock for itself alone ("arms the
-- bell"), looks once more, and sleeps until a notification comes. Here a share of that lock is tried for: while nobody
-- sleeps it is granted, and the sleeper-to-be waits until this transaction has ended and its row can be seen; when it
-- is refused, somebody sleeps and is woken. So no wake-up is lost, whichever comes first.
--
-- The trigger is deferred, so that the share is held for the length of a commit and not of a transaction that a client
-- leaves open. A notification carries no data: it is a hint to look, and looking is what counts.
--
-- The lock's first key is "awb1" in ASCII; agent_worker/db/queries/arm_bell.sql takes the same.
create function agent_worker.ring() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not pg_try_advisory_xact_lock_shared(1635213873, hashtext(new.kind)) then
    perform pg_notify('agent_worker', 'task ' || new.kind);
  end if;
  return null;
end
$$;

create constraint trigger agent_task_requests_ring
after insert on public.agent_task_requests
deferrable initially deferred
for each row
when (new.status = 'pending' and new.run_at is null)
execute function agent_worker.ring();

-- The same for tasks that come back: retried, staged, answered, released, rescued, redriven.
create constraint trigger agent_task_requests_ring_again
after update of status, run_at on public.agent_task_requests
deferrable initially deferred
for each row
when (
  new.status = 'pending' and new.run_at is null and (old.status <> 'pending' or old.run_at is not null)
)
execute function agent_worker.ring();
