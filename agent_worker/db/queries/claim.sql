-- Claim up to %(limit)s due tasks, span after span. Index: agent_task_requests_claim_idx. Locks: rows, SKIP LOCKED.
SELECT id, kind, request_payload, attempt, max_attempts, created_at, started_at, priority,
       user_id, enterprise_id, parent_id, timeout_s, resume, waited_s, seq, is_limited
FROM agent_worker.claim(
  %(worker_id)s, %(kinds)s::text[], %(priorities)s::integer[],
  %(low_enterprises)s::text[], %(low_users)s::uuid[], %(low_seqs)s::bigint[],
  %(high_enterprises)s::text[], %(high_users)s::uuid[], %(high_seqs)s::bigint[],
  %(quotas)s::integer[], %(limit)s::integer
)
