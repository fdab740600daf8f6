-- The role with which KEDA asks how much work there is. It may call one function, and see no row and no other number.
-- Run once as the owner of the tables, after the migration, with psql or in the SQL editor. Then give it a password:
--   ALTER ROLE agent_worker_scaler PASSWORD '...';   in psql: \password agent_worker_scaler
CREATE ROLE agent_worker_scaler LOGIN NOINHERIT CONNECTION LIMIT 4;
ALTER ROLE agent_worker_scaler SET default_transaction_read_only = on;
ALTER ROLE agent_worker_scaler SET statement_timeout = '5s';
GRANT USAGE ON SCHEMA agent_worker TO agent_worker_scaler;
GRANT EXECUTE ON FUNCTION agent_worker.backlog(text[], integer) TO agent_worker_scaler;
