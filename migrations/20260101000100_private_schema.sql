-- The private schema: everything that is not for clients lives here. It must never be listed among the exposed schemas.
create schema if not exists agent_worker;
revoke all on schema agent_worker from public;
grant usage on schema agent_worker to service_role;

comment on schema agent_worker is 'Private part of agent-worker: leases, checkpoints, and the functions that move tasks.';
