-- The newest migration in the schema, and the newest one that a release must know. Index: none, no table is read.
SELECT version, serves_since FROM agent_worker.schema_version()
