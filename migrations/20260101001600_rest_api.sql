-- The functions of a worker that has no PostgreSQL connection: PostgREST calls them for the service role, over HTTP.
--
-- PostgREST exposes the schema public and not agent_worker, so each function that a worker calls has a thin wrapper here
-- and no logic of its own. One wrapper per function rather than one dispatcher by name: PostgREST then casts every
-- argument by its declared type, nothing is called that is not listed here, and no SQL is put together from what came in.
--
-- Each returns its rows as one JSON array. A function that returned a set would be cut to the project's max_rows (1,000
-- unless somebody changed it), and a worker would hold claimed tasks that it never heard of. JSON goes in as text, as
-- from any other worker, so that both read it by the same cast.
--
-- They run with the rights of the caller, who needs those on agent_worker as well; whoever is not the service role is
-- refused at the door and does not see them in the API's description.

create function public.agent_worker_schema_version() returns json
language plpgsql stable
set search_path = ''
as $$
begin
  -- PL/pgSQL looks the function up when it runs: it is made by the last migration.
  return (select json_agg(r) from agent_worker.schema_version() r);
end
$$;

create function public.agent_worker_claim(
  p_worker_id uuid, p_kinds text[], p_priorities integer[],
  p_low_enterprises text[], p_low_users uuid[], p_low_seqs bigint[],
  p_high_enterprises text[], p_high_users uuid[], p_high_seqs bigint[],
  p_quotas integer[], p_limit integer
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from agent_worker.claim(
    p_worker_id, p_kinds, p_priorities, p_low_enterprises, p_low_users, p_low_seqs,
    p_high_enterprises, p_high_users, p_high_seqs, p_quotas, p_limit
  ) r
$$;

create function public.agent_worker_finish(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_statuses text[], p_responses text[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (
    select id from agent_worker.finish(p_worker_id, p_ids, p_attempts, p_statuses, p_responses::jsonb[]) as lost (id)
  ) r
$$;

create function public.agent_worker_retry(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_delays_s double precision[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (select id from agent_worker.retry(p_worker_id, p_ids, p_attempts, p_delays_s) as lost (id)) r
$$;

create function public.agent_worker_release(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_delays_s double precision[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (select id from agent_worker.release(p_worker_id, p_ids, p_attempts, p_delays_s) as lost (id)) r
$$;

create function public.agent_worker_append_events(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_seqs integer[], p_types text[], p_data text[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (
    select id
    from agent_worker.append_events(p_worker_id, p_ids, p_attempts, p_seqs, p_types, p_data::jsonb[]) as lost (id)
  ) r
$$;

create function public.agent_worker_report_progress(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_progress text[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (
    select id from agent_worker.report_progress(p_worker_id, p_ids, p_attempts, p_progress::jsonb[]) as lost (id)
  ) r
$$;

create function public.agent_worker_record_steps(
  p_worker_id uuid,
  p_ids uuid[], p_attempts integer[], p_seqs integer[], p_types text[], p_data text[],
  p_step_ids uuid[], p_step_attempts integer[], p_step_keys text[], p_step_calls text[], p_step_values text[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (
    select id
    from agent_worker.record_steps(
      p_worker_id, p_ids, p_attempts, p_seqs, p_types, p_data::jsonb[],
      p_step_ids, p_step_attempts, p_step_keys, p_step_calls, p_step_values::jsonb[]
    ) as lost (id)
  ) r
$$;

create function public.agent_worker_load_checkpoints(p_task_id uuid, p_after text, p_limit integer) returns json
language sql stable
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.load_checkpoints(p_task_id, p_after, p_limit) r
$$;

create function public.agent_worker_spawn(
  p_worker_id uuid, p_task_id uuid, p_attempt integer, p_key text, p_child_id uuid, p_kind text, p_payload text
) returns json
language sql
set search_path = ''
as $$
  select json_agg(r)
  from agent_worker.spawn(p_worker_id, p_task_id, p_attempt, p_key, p_child_id, p_kind, p_payload::jsonb) r
$$;

create function public.agent_worker_park(
  p_worker_id uuid, p_task_id uuid, p_attempt integer,
  p_key text, p_call text, p_child_id uuid, p_fields text, p_timeout_s double precision
) returns json
language sql
set search_path = ''
as $$
  select json_agg(r)
  from agent_worker.park(
    p_worker_id, p_task_id, p_attempt, p_key, p_call, p_child_id, p_fields::jsonb, p_timeout_s
  ) r
$$;

create function public.agent_worker_last_event_seq(p_task_id uuid) returns json
language sql stable
set search_path = ''
as $$
  select json_agg(r) from agent_worker.last_event_seq(p_task_id) r
$$;

create function public.agent_worker_held_tasks(p_worker_id uuid) returns json
language sql stable
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.held_tasks(p_worker_id) r
$$;

create function public.agent_worker_cancel_requests(p_worker_id uuid, p_ids uuid[]) returns json
language sql stable
set search_path = ''
as $$
  select json_agg(r) from (select agent_worker.cancel_requests(p_worker_id, p_ids) as cancel_ids) r
$$;

create function public.agent_worker_register_worker(
  p_id uuid, p_name text, p_host text, p_pid integer, p_kinds text[], p_concurrency integer, p_version text,
  p_lease_s double precision, p_payload_schemas text
) returns json
language sql
set search_path = ''
as $$
  select json_agg(r)
  from agent_worker.register_worker(
    p_id, p_name, p_host, p_pid, p_kinds, p_concurrency, p_version, p_lease_s, p_payload_schemas::jsonb
  ) r
$$;

create function public.agent_worker_heartbeat(p_worker_id uuid, p_in_flight integer) returns json
language sql
set search_path = ''
as $$
  select json_agg(r) from agent_worker.heartbeat(p_worker_id, p_in_flight) r
$$;

create function public.agent_worker_sign_off(p_worker_id uuid, p_state text) returns json
language sql
set search_path = ''
as $$
  select agent_worker.sign_off(p_worker_id, p_state);
  select '[]'::json
$$;

create function public.agent_worker_rescue(p_limit integer) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.rescue(p_limit) r
$$;

create function public.agent_worker_stage(p_limit integer) returns json
language sql
set search_path = ''
as $$
  select json_agg(r) from agent_worker.stage(p_limit) r
$$;

create function public.agent_worker_fail_unknown_kinds(p_grace_s double precision, p_limit integer) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.fail_unknown_kinds(p_grace_s, p_limit) r
$$;

create function public.agent_worker_expire_questions(p_limit integer) returns json
language sql
set search_path = ''
as $$
  select json_agg(r) from agent_worker.expire_questions(p_limit) r
$$;

create function public.agent_worker_can_broadcast() returns json
language sql stable
set search_path = ''
as $$
  select json_agg(r) from agent_worker.can_broadcast() r
$$;

create function public.agent_worker_broadcast_deltas(
  p_worker_id uuid, p_ids uuid[], p_attempts integer[], p_seqs integer[], p_parts integer[], p_events text[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from (
    select id
    from agent_worker.broadcast_deltas(
      p_worker_id, p_ids, p_attempts, p_seqs, p_parts, p_events::jsonb[]
    ) as lost (id)
  ) r
$$;

create function public.agent_worker_oldest_pending(p_kinds text[]) returns json
language sql stable
set search_path = ''
as $$
  select json_agg(r) from agent_worker.oldest_pending(p_kinds) r
$$;

create function public.agent_worker_prune(p_retention_s double precision, p_limit integer) returns json
language sql
set search_path = ''
as $$
  select json_agg(r) from agent_worker.prune(p_retention_s, p_limit) r
$$;

create function public.agent_worker_next_schedules(p_limit integer) returns json
language sql stable
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.next_schedules(p_limit) r
$$;

create function public.agent_worker_fire_schedules(
  p_names text[], p_crons text[], p_timezones text[], p_seen timestamptz[],
  p_slots timestamptz[], p_next timestamptz[], p_errors text[]
) returns json
language sql
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]')
  from agent_worker.fire_schedules(p_names, p_crons, p_timezones, p_seen, p_slots, p_next, p_errors) r
$$;

create function public.agent_worker_push_definition(p_kind text, p_slug text, p_content text) returns json
language sql
set search_path = ''
as $$
  select json_agg(r) from agent_worker.push_definition(p_kind, p_slug, p_content::jsonb) r
$$;

create function public.agent_worker_find_definition(p_kind text, p_reference text, p_version integer) returns json
language sql stable
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.find_definition(p_kind, p_reference, p_version) r
$$;

create function public.agent_worker_list_definitions(p_kind text) returns json
language sql stable
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.list_definitions(p_kind) r
$$;

create function public.agent_worker_list_versions(p_kind text, p_reference text) returns json
language sql stable
set search_path = ''
as $$
  select coalesce(json_agg(r), '[]') from agent_worker.list_versions(p_kind, p_reference) r
$$;

create function public.agent_worker_archive_definition(p_kind text, p_reference text) returns json
language sql
set search_path = ''
as $$
  select json_agg(r) from agent_worker.archive_definition(p_kind, p_reference) r
$$;

-- By name for each role: a project's default privileges may have granted them one by one.
do $$
declare
  wrapper regprocedure;
begin
  for wrapper in
    select p.oid::regprocedure
    from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname like 'agent\_worker\_%'
  loop
    execute format('revoke all on function %s from public, anon, authenticated', wrapper);
    execute format('grant execute on function %s to service_role', wrapper);
  end loop;
end
$$;
