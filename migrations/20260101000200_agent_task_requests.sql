-- The one table a client needs: insert a row, get an answer.
--
-- Constraint names are sentences, because they are what a client reads when its row is refused.
create table public.agent_task_requests (
  id uuid primary key default gen_random_uuid(),
  kind text not null default 'chat'
    constraint "kind must have 1 to 64 characters" check (char_length(kind) between 1 and 64),
  status text not null default 'pending'
    constraint "status must be pending when a task is inserted"
    check (status in ('pending', 'processing', 'waiting', 'completed', 'failed', 'cancelled')),
  request_payload jsonb not null default '{}'::jsonb,
  response_payload jsonb,
  user_id uuid default auth.uid(),
  enterprise_id text
    constraint "enterprise_id must have at most 255 characters" check (char_length(enterprise_id) <= 255),
  priority smallint not null default 0
    constraint "priority must be 0 to 9" check (priority between 0 and 9),
  run_at timestamptz,
  attempt integer not null default 0,
  max_attempts integer not null default 3,
  timeout_s integer
    constraint "timeout_s must be 1 to 86400 seconds" check (timeout_s between 1 and 86400),
  dedupe_key text
    constraint "dedupe_key must have 1 to 512 characters" check (char_length(dedupe_key) between 1 and 512),
  cancel_requested_at timestamptz,
  progress jsonb,
  parent_id uuid,
  worker_id uuid,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  -- Order within a lane. Assigned anew each time the task becomes pending, so that a retry queues at the end.
  seq bigint generated always as identity,
  -- Why the next attempt begins: null (fresh), retry, rescued, postponed or answered.
  resume text,
  -- A redriven task has used up attempts and is granted new ones, so the limit is on those still ahead.
  constraint "max_attempts must be 1 to 25" check (max_attempts between 1 and 25 + attempt),
  constraint "attempt must not exceed max_attempts" check (attempt between 0 and max_attempts),
  -- A pending task that cannot be claimed would fail every claim of its lane.
  constraint "status pending needs an attempt below max_attempts" check (status <> 'pending' or attempt < max_attempts),
  -- A task that nobody holds would never be rescued.
  constraint "status processing needs a worker_id" check (status <> 'processing' or worker_id is not null)
) with (
  fillfactor = 85,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_vacuum_insert_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.02,
  autovacuum_vacuum_cost_delay = 1
);

comment on table public.agent_task_requests is 'Tasks for AI workers. Insert a row (request_payload is enough) and watch status and response_payload.';
comment on column public.agent_task_requests.kind is 'Which processor answers: chat, echo, or one of yours.';
comment on column public.agent_task_requests.status is 'pending, processing, waiting (for a person, a client tool or a child), completed, failed or cancelled.';
comment on column public.agent_task_requests.request_payload is 'Input, a JSON object of at most 16 MiB; for chat {"prompt": "…"}.';
comment on column public.agent_task_requests.response_payload is 'Output; on failure {"error", "code", "retryable"}. Written together with the final status.';
comment on column public.agent_task_requests.priority is '0 to 9, higher first; signed-in users may use 0 to 5.';
comment on column public.agent_task_requests.run_at is 'Not before this time; null means now.';
comment on column public.agent_task_requests.attempt is 'Attempts started.';
comment on column public.agent_task_requests.timeout_s is 'Limit of one attempt in seconds; null means the processor''s default.';
comment on column public.agent_task_requests.dedupe_key is 'At most one unfinished task per kind, user and key.';
comment on column public.agent_task_requests.cancel_requested_at is 'Set it to anything to stop the task.';
comment on column public.agent_task_requests.progress is '{"percent": 0 to 100, "note": "…"}.';

-- Every index on this table costs one entry per claim and per completion, since a change of status is never HOT.
-- So there are few, and each names its reader.

-- claim(): the pending tasks of each lane, oldest first. A lane is what one user of one enterprise asks of one kind at
-- one priority; who has no enterprise, or is no user, counts as '' and as the nil UUID.
create index agent_task_requests_claim_idx on public.agent_task_requests
  (kind, priority desc, (coalesce(enterprise_id, '')) collate "C",
   (coalesce(user_id, '00000000-0000-0000-0000-000000000000'::uuid)), seq)
  where status = 'pending' and run_at is null;
-- stage(): what has become due.
create index agent_task_requests_run_at_idx on public.agent_task_requests (run_at)
  where status = 'pending' and run_at is not null;
-- rescue(), cancel look-ups and counts: tasks a worker holds, and (worker_id null) those that wait.
create index agent_task_requests_held_idx on public.agent_task_requests (worker_id, status)
  where status in ('processing', 'waiting');
-- prune(), recent outcomes.
create index agent_task_requests_finished_idx on public.agent_task_requests (finished_at)
  where finished_at is not null;
-- A signed-in user's own list; rows without a user cost nothing.
create index agent_task_requests_user_idx on public.agent_task_requests (user_id, created_at desc)
  where user_id is not null;
-- Children of a task; rows without a parent cost nothing.
create index agent_task_requests_parent_idx on public.agent_task_requests (parent_id)
  where parent_id is not null;
create unique index agent_task_requests_dedupe_idx on public.agent_task_requests (kind, user_id, dedupe_key)
  nulls not distinct
  where dedupe_key is not null and status in ('pending', 'processing', 'waiting');
