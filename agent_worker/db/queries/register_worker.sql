-- Enter a worker; returns the living worker that has its name, if there is one. Index: workers_name_idx.
SELECT agent_worker.register_worker(
  %(id)s, %(name)s, %(host)s, %(pid)s, %(kinds)s::text[], %(concurrency)s, %(version)s,
  %(lease_s)s::double precision, %(payload_schemas)s::text::jsonb
)
