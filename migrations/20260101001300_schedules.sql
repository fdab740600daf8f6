-- Schedules: tasks that are inserted by the clock. Rows are plain, for a person with SQL as for the command. Workers
-- work out when each fires (cron and time zones are read in Python); whether a slot fires is decided here.
create table agent_worker.schedules (
  name text primary key
    constraint "name must have 1 to 255 characters" check (char_length(name) between 1 and 255),
  cron text not null
    constraint "cron must have 1 to 255 characters" check (char_length(cron) between 1 and 255),
  timezone text not null default 'UTC'
    constraint "timezone must have 1 to 255 characters" check (char_length(timezone) between 1 and 255),
  kind text not null default 'chat'
    constraint "kind must have 1 to 64 characters" check (char_length(kind) between 1 and 64),
  request_payload jsonb not null default '{}'::jsonb
    constraint "request_payload must be a JSON object" check (jsonb_typeof(request_payload) = 'object'),
  priority smallint not null default 0
    constraint "priority must be 0 to 9" check (priority between 0 and 9),
  enterprise_id text
    constraint "enterprise_id must have at most 255 characters" check (char_length(enterprise_id) <= 255),
  user_id uuid,
  timeout_s integer
    constraint "timeout_s must be 1 to 86400 seconds" check (timeout_s between 1 and 86400),
  max_attempts integer not null default 3
    constraint "max_attempts must be 1 to 25" check (max_attempts between 1 and 25),
  enabled boolean not null default true,
  created_at timestamptz not null default now(),
  -- When a worker looks at it next; null until one has worked it out.
  next_fire_at timestamptz,
  -- The newest slot that fired, and its task. No slot up to it fires again, whatever the clock does.
  last_slot timestamptz,
  last_task_id uuid,
  -- Why it does not fire. With next_fire_at: the task was refused, the next slot tries again; without: it rests until
  -- somebody mends it.
  error text,
  -- No worker could read a time beyond its calendar, and one bad row would stop them all.
  constraint "times must lie between the years 1970 and 9000" check (
    extract(epoch from created_at) between 0 and 221845392000
    and extract(epoch from next_fire_at) between 0 and 221845392000
    and extract(epoch from last_slot) between 0 and 221845392000
  )
);

-- next_schedules: what fires next.
create index schedules_next_idx on agent_worker.schedules (next_fire_at nulls first)
  where enabled and (next_fire_at is not null or error is null);

alter table agent_worker.schedules enable row level security;

comment on table agent_worker.schedules is 'Tasks inserted by the clock. name, cron and kind are enough.';
comment on column agent_worker.schedules.cron is 'Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.';
comment on column agent_worker.schedules.timezone is 'IANA name such as Europe/Berlin; cron is read in it.';
comment on column agent_worker.schedules.error is 'Why it does not fire; cleared when cron, timezone or enabled changes.';

-- Somebody changes when it fires: have it worked out anew. What was missed while it was off is not made up for.
create function agent_worker.reset_schedule() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.error := null;
  if new.next_fire_at is not distinct from old.next_fire_at then
    new.next_fire_at := null;
  end if;
  return new;
end
$$;

create trigger schedules_reset
before update of cron, timezone, enabled on agent_worker.schedules
for each row
when ((new.cron, new.timezone, new.enabled) is distinct from (old.cron, old.timezone, old.enabled))
execute function agent_worker.reset_schedule();

-- Wake the workers that sleep until the next slot. Firing changes other columns, so it does not ring.
create function agent_worker.ring_schedule() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform pg_notify('agent_worker', 'schedule');
  return null;
end
$$;

create trigger schedules_ring
after insert or update of name, cron, timezone, enabled on agent_worker.schedules
for each statement
execute function agent_worker.ring_schedule();

-- The schedules that fire next, those nobody has looked at first, with the database's time.
-- Index: schedules_next_idx.
create function agent_worker.next_schedules(p_limit integer) returns table (
  name text, cron text, timezone text, next_fire_at timestamptz, last_slot timestamptz, seen_at timestamptz
)
language sql stable
set search_path = ''
as $$
  select s.name, s.cron, s.timezone, s.next_fire_at, s.last_slot, now()
  from agent_worker.schedules s
  where s.enabled and (s.next_fire_at is not null or s.error is null)
  order by s.next_fire_at nulls first
  limit p_limit
$$;

-- Insert the task of one slot; null when the slot has fired before, whatever the schedule's row says: its task's id
-- follows from name and slot.
create function agent_worker.fire_slot(p_schedule agent_worker.schedules, p_slot timestamptz) returns uuid
language plpgsql
set search_path = ''
as $$
declare
  slot_id uuid := substr(encode(sha256(convert_to(
    format('%s@%s', p_schedule.name, extract(epoch from p_slot)), 'UTF8')), 'hex'), 1, 32)::uuid;
begin
  if exists (
    select from public.agent_task_requests t where t.id = slot_id and t.user_id is distinct from p_schedule.user_id
  ) then
    -- Users choose ids: one of them who guesses this one must not keep the slot from firing.
    slot_id := gen_random_uuid();
  end if;
  insert into public.agent_task_requests (
    id, kind, request_payload, user_id, enterprise_id, priority, max_attempts, timeout_s
  )
  values (
    slot_id, p_schedule.kind, p_schedule.request_payload, p_schedule.user_id, p_schedule.enterprise_id,
    p_schedule.priority, p_schedule.max_attempts, p_schedule.timeout_s
  )
  on conflict (id) do nothing;
  return case when found then slot_id end;
end
$$;

-- Do with each schedule what a worker worked out for it, unless it changed meanwhile or another worker is at it.
-- Arrays run in parallel: the row as it was seen (name, cron, timezone, next_fire_at), then what to do: the slot to
-- fire (null: none), when to look again, or why it cannot be read. Returns what was done; task_id is null when nothing
-- fired, and refused says why it should have. Index: primary key. Locks: rows, SKIP LOCKED.
create function agent_worker.fire_schedules(
  p_names text[], p_crons text[], p_timezones text[], p_seen timestamptz[],
  p_slots timestamptz[], p_next timestamptz[], p_errors text[]
) returns table (schedule text, slot timestamptz, task_id uuid, refused text)
language plpgsql
set search_path = ''
as $$
declare
  s agent_worker.schedules;
begin
  for i in 1 .. cardinality(p_names) loop
    select * into s
    from agent_worker.schedules found_row
    where found_row.name = p_names[i] and found_row.cron = p_crons[i] and found_row.timezone = p_timezones[i]
      and found_row.next_fire_at is not distinct from p_seen[i] and found_row.enabled
    for update skip locked;
    continue when not found;

    schedule := s.name;
    slot := null;
    task_id := null;
    refused := p_errors[i];
    if refused is null and p_slots[i] > coalesce(s.last_slot, '-infinity') and p_slots[i] <= now() then
      slot := p_slots[i];
      begin
        task_id := agent_worker.fire_slot(s, slot);
      exception when others then
        -- What may pass by itself is for the next round; what this one schedule caused must not harm the others.
        if left(sqlstate, 2) in ('08', '25', '40', '53', '55', '57', '58', 'XX') then
          raise;
        end if;
        refused := sqlerrm;
      end;
    end if;
    update agent_worker.schedules u
    set next_fire_at = case when p_errors[i] is null then p_next[i] end,
        last_slot = case when refused is null then coalesce(slot, u.last_slot) else u.last_slot end,
        last_task_id = coalesce(task_id, u.last_task_id),
        error = case when slot is null and p_errors[i] is null then u.error else refused end
    where u.name = s.name;
    return next;
  end loop;
end
$$;
