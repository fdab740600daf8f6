-- What workers and clients compare at their start. It travels with the schema, so it is right whoever applied the
-- files: our runner, `supabase db push`, or a person with psql; and migrations of other projects do not touch it.
--
-- Every later migration ends with this function, naming itself as version. serves_since is the newest migration that
-- a release must know to work with the schema: leave it as it is while the previous release still works.
create or replace function agent_worker.schema_version(out version text, out serves_since text)
language sql immutable
set search_path = ''
as $$ select '20260101001900', '20260101001900' $$;

revoke all on function agent_worker.schema_version() from public, anon, authenticated;
grant execute on function agent_worker.schema_version() to service_role;
