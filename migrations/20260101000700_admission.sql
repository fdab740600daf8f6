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

-- Wake idle workers. A notification carries no data: it is a hint to look, and looking is what counts.
create function agent_worker.ring() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_notify('agent_worker', 'task');
  return null;
end
$$;

create trigger agent_task_requests_ring
after insert on public.agent_task_requests
for each statement
execute function agent_worker.ring();
