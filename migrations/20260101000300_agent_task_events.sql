-- What happened to a task and what it streamed, in order; seq counts from 1 without a gap.
--
-- There is no foreign key: its check would cost a row lock on the task for each streamed piece of text. Events go
-- with their task by the trigger forget_tasks().
create table public.agent_task_events (
  task_id uuid not null,
  seq integer not null,
  type text not null,
  data jsonb not null default '{}'::jsonb,
  attempt integer not null,
  -- Copied from the task, so that the row level policy is one comparison per subscriber.
  user_id uuid,
  created_at timestamptz not null default now(),
  primary key (task_id, seq)
) with (
  autovacuum_vacuum_insert_scale_factor = 0.1
);

comment on table public.agent_task_events is 'Stream of a task: text-delta, finish, error, attempt-start and so on, by seq.';
