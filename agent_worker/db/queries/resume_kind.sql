-- Start tasks of a kind again; false when it was not paused. Index: limits_kind_per_key_key.
SELECT agent_worker.resume_kind(%(kind)s)
