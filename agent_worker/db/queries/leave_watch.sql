-- Look out no longer for these kinds, and have another worker take over; see keep_watch.sql and arm_bell.sql.
SELECT pg_notify('agent_worker', 'watch'), count(pg_advisory_unlock(held.classid::integer, hashtext(kind)))
FROM unnest(%(kinds)s::text[]) AS kind
JOIN pg_catalog.pg_locks AS held ON held.objid = hashtext(kind)::oid
WHERE held.locktype = 'advisory' AND held.pid = pg_backend_pid() AND held.classid IN (1635219249, 1635213873)
