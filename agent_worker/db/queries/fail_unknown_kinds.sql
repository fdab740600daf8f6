-- Fail tasks of kinds that no worker ever offered. Index: agent_task_requests_claim_idx.
SELECT id, kind FROM agent_worker.fail_unknown_kinds(%(grace_s)s::double precision, %(limit)s::integer)
