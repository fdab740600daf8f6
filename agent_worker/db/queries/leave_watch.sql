-- Look out no longer, and have another worker take over.
SELECT pg_advisory_unlock_all(), pg_notify('agent_worker', 'watch')
