-- What a task remembers between attempts: results of steps, answers, children, and the processor's own notes.
create table agent_worker.checkpoints (
  task_id uuid not null,
  key text not null constraint "key must have 1 to 255 characters" check (char_length(key) between 1 and 255),
  call text not null check (call in ('value', 'step', 'spawn', 'child', 'human', 'client')),
  value jsonb,
  is_done boolean not null default true,
  created_at timestamptz not null default now(),
  primary key (task_id, key)
);

alter table agent_worker.checkpoints enable row level security;
