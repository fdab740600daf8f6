-- Start tasks of a kind again; returns the limit's id. Index: limits_kind_per_key_key.
WITH only_paused AS (
  DELETE FROM agent_worker.limits
  WHERE kind = %(kind)s AND per = 'all' AND paused_at IS NOT NULL AND max_running IS NULL AND max_starts IS NULL
  RETURNING id
), limited_too AS (
  UPDATE agent_worker.limits
  SET paused_at = NULL
  WHERE kind = %(kind)s AND per = 'all' AND paused_at IS NOT NULL AND coalesce(max_running, max_starts) IS NOT NULL
  RETURNING id
)
SELECT id FROM only_paused
UNION ALL
SELECT id FROM limited_too
