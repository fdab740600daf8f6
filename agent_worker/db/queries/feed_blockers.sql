-- Transactions that have written and not ended, oldest first: a replication slot is there once each of them has ended.
SELECT pid, coalesce(application_name, ''), extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_catalog.pg_stat_activity
WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
ORDER BY xact_start NULLS LAST
LIMIT 1
