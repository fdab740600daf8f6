-- Seconds that the longest waiting head of these kinds' lanes has been due. Index: agent_task_requests_claim_idx, once per lane.
SELECT agent_worker.oldest_pending(%(kinds)s::text[])
