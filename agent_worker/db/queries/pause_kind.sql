-- Start no more tasks of a kind. Index: limits_kind_per_key_key.
SELECT agent_worker.pause_kind(%(kind)s)
