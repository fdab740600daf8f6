-- Clients follow these tables through Realtime. Replica identity stays the primary key: with FULL, old and new row
-- count together against the limit of 1 MiB per change, and larger changes arrive without their payload.
do $$
declare
  name text;
begin
  if not exists (select 1 from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
  foreach name in array array['agent_task_requests', 'agent_task_events', 'human_tasks'] loop
    if not exists (
      select 1 from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = name
    ) then
      execute format('alter publication supabase_realtime add table public.%I', name);
    end if;
  end loop;
end
$$;
