-- What a worker and a client do that this role may not. Index: none, a few rows of the catalogs.
SELECT missing
FROM (
  SELECT 'to insert into public.agent_task_requests'
  WHERE NOT has_table_privilege('public.agent_task_requests', 'INSERT, SELECT')
  UNION ALL
  SELECT 'to read public.agent_task_events'
  WHERE NOT has_table_privilege('public.agent_task_events', 'SELECT')
  UNION ALL
  SELECT 'to use the schema agent_worker'
  WHERE NOT has_schema_privilege('agent_worker', 'USAGE')
  UNION ALL
  SELECT DISTINCT format('to call agent_worker.%s()', p.proname)
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = 'agent_worker' AND p.proname IN ('claim', 'finish', 'heartbeat', 'register_worker', 'append_events')
    AND NOT has_function_privilege(p.oid, 'EXECUTE')
) rights (missing)
