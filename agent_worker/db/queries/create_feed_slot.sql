-- A slot that ends with this session. Waits for every transaction that is writing at this moment.
SELECT lsn::text FROM pg_create_logical_replication_slot(%(slot)s, 'pgoutput', true)
