-- Who may do what. A signed-in user sees and inserts its own rows and may change exactly two things: a task's
-- cancel_requested_at and a question's response. An operator sees everybody's rows and may cancel everybody's tasks.
-- Anonymous visitors see nothing. Workers use service_role or the owner.
--
-- An operator is let in by a range of ids, not by a boolean: `… or (select is_operator())` lets no index serve a user's
-- own list, which then reads the whole table (60 ms instead of 0.1 for 300,000 tasks). The range is all ids for an
-- operator and null, which is no id at all, for everybody else, so the two halves are two look-ups in two indexes.
alter table public.agent_task_requests enable row level security;
alter table public.agent_task_events enable row level security;
alter table public.human_tasks enable row level security;

revoke all on public.agent_task_requests, public.agent_task_events, public.human_tasks from public, anon, authenticated;

grant select on public.agent_task_requests, public.agent_task_events, public.human_tasks to authenticated;
grant insert (
  id, kind, status, request_payload, user_id, enterprise_id, priority, run_at, max_attempts, timeout_s, dedupe_key
) on public.agent_task_requests to authenticated;
grant update (cancel_requested_at) on public.agent_task_requests to authenticated;
grant update (response) on public.human_tasks to authenticated;

create policy "users see their own tasks, operators all" on public.agent_task_requests
  for select to authenticated
  using (
    (select auth.uid()) = user_id
    or id between (select agent_worker.operators_lowest_id()) and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  );
create policy "users insert pending tasks of their own with priority 0 to 5" on public.agent_task_requests
  for insert to authenticated
  with check ((select auth.uid()) = user_id and status = 'pending' and priority <= 5);
create policy "users cancel their own tasks, operators all" on public.agent_task_requests
  for update to authenticated
  using (
    (select auth.uid()) = user_id
    or id between (select agent_worker.operators_lowest_id()) and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  )
  with check ((select auth.uid()) = user_id or (select agent_worker.is_operator()));
create policy "users see the events of their own tasks, operators all" on public.agent_task_events
  for select to authenticated
  using ((select auth.uid()) = user_id or (select agent_worker.is_operator()));
create policy "users see questions of their tasks and to them, operators all" on public.human_tasks
  for select to authenticated
  using (
    (select auth.uid()) = user_id
    or (select auth.uid()) = assignee
    or id between (select agent_worker.operators_lowest_id()) and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  );
create policy "the assignee answers, or the user where there is none" on public.human_tasks
  for update to authenticated
  using ((select auth.uid()) = coalesce(assignee, user_id))
  with check ((select auth.uid()) = coalesce(assignee, user_id));

grant all on public.agent_task_requests, public.agent_task_events, public.human_tasks to service_role;
grant all on all tables in schema agent_worker to service_role;

revoke all on all functions in schema agent_worker from public, anon, authenticated;
grant execute on all functions in schema agent_worker to service_role;
-- The policies ask these with the user's own rights; the schema itself stays closed.
grant execute on function
  agent_worker.is_operator(), agent_worker.operators_lowest_id(), agent_worker.task_of_topic(text)
to authenticated;
