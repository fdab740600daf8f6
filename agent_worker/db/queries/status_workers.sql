-- The fleet: who lives, and who went away without a word in the last hour. Index: workers_name_idx; the table is small.
SELECT w.id, w.name, w.host, w.pid, w.kinds, w.concurrency, w.in_flight,
       CASE WHEN w.stopped_at IS NULL AND w.heartbeat_at < now() - make_interval(secs => w.lease_s)
            THEN 'lost' ELSE w.state END,
       w.version, w.lease_s,
       extract(epoch FROM now() - w.heartbeat_at)::double precision,
       w.started_at
FROM agent_worker.workers w
WHERE w.stopped_at IS NULL OR (w.state = 'lost' AND w.stopped_at > now() - interval '1 hour')
ORDER BY w.name
