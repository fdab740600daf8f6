-- One row per worker process. Liveness is here, not on the tasks: one small update per heartbeat and worker,
-- none of which a client's Realtime subscription sees.
create table agent_worker.workers (
  id uuid primary key,
  name text not null,
  host text not null,
  pid integer not null,
  kinds text[] not null,
  concurrency integer not null,
  version text not null,
  lease_s double precision not null,
  state text not null default 'running' check (state in ('running', 'draining', 'stopped', 'lost')),
  in_flight integer not null default 0,
  started_at timestamptz not null default now(),
  heartbeat_at timestamptz not null default now(),
  stopped_at timestamptz,
  -- Somebody asked it to leave; it hears of it with its next heartbeat.
  drain_requested_at timestamptz
) with (fillfactor = 50);

-- Names are unique among the living, so that a name in a log means one process.
create unique index workers_name_idx on agent_worker.workers (name) where stopped_at is null;

-- Every kind that some worker has ever offered: an unknown kind is refused, a known one waits for its workers.
create table agent_worker.kinds (
  kind text primary key,
  first_seen_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  -- JSON Schema of request_payload, as the worker that came last describes it; null when it does not.
  payload_schema jsonb
);

alter table agent_worker.workers enable row level security;
alter table agent_worker.kinds enable row level security;
