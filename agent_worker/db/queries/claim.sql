-- Claim up to %(limit)s due tasks, span after span. Index: agent_task_requests_claim_idx. Locks: rows, SKIP LOCKED.
SELECT id, kind, request_payload, attempt, max_attempts, priority, user_id, enterprise_id, parent_id,
       timeout_s, resume, created_at, started_at, waited_s, seq
FROM agent_worker.claim(
  %(worker_id)s, %(kinds)s::text[], %(priorities)s::smallint[],
  %(low_tenants)s::text[], %(low_seqs)s::bigint[], %(high_tenants)s::text[], %(high_seqs)s::bigint[],
  %(quotas)s::integer[], %(limit)s::integer
)
