-- Questions that a task waits for: approvals and inputs for people, and tools that the client has to run.
create table public.human_tasks (
  id uuid primary key default gen_random_uuid(),
  task_id uuid not null references public.agent_task_requests (id) on delete cascade,
  -- Stable name of the question within its task: asked again, it is the same row.
  key text not null,
  type text not null default 'approval'
    constraint "type must be a known kind of question" check (
      type in ('approval', 'review', 'input', 'selection', 'annotation', 'verification', 'custom', 'client_tool')
    ),
  title text not null,
  description text not null default '',
  -- JSON Schema of the response.
  form jsonb not null default '{"type": "object"}'::jsonb,
  -- Facts to show beside the form; for client_tool {"toolCalls": [{toolCallId, toolName, args}]}.
  context jsonb not null default '{}'::jsonb,
  priority text not null default 'medium'
    constraint "priority must be low, medium, high or urgent" check (priority in ('low', 'medium', 'high', 'urgent')),
  status text not null default 'pending'
    constraint "status must be pending, completed, cancelled or expired"
    check (status in ('pending', 'completed', 'cancelled', 'expired')),
  -- Who may answer; null means the task's own user.
  assignee uuid,
  user_id uuid,
  enterprise_id text,
  response jsonb
    constraint "response must be a JSON object" check (jsonb_typeof(response) = 'object'),
  responded_by uuid,
  expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  responded_at timestamptz,
  unique (task_id, key)
);

comment on table public.human_tasks is 'Questions to people and client tools. Set response to answer; the task goes on by itself.';
comment on column public.human_tasks.response is 'The answer, a JSON object that follows form; for client_tool {"toolResults": [{toolCallId, result | error}]}.';

-- Inbox of a person.
create index human_tasks_assignee_idx on public.human_tasks (assignee, created_at) where status = 'pending';
create index human_tasks_user_idx on public.human_tasks (user_id, created_at) where status = 'pending';
-- expire_questions().
create index human_tasks_expires_idx on public.human_tasks (expires_at) where status = 'pending' and expires_at is not null;
