-- Put a new refresh token in the place of one, which keeps the time of its first use; used ones are forgotten after a day.
-- Index: refresh_tokens_session_id_idx. Locks: the session's tokens.
WITH used AS (
  UPDATE auth.refresh_tokens
  SET revoked_at = coalesce(revoked_at, clock_timestamp())
  WHERE token_hash = %(token_hash)s
), forgotten AS (
  DELETE FROM auth.refresh_tokens
  WHERE session_id = %(session_id)s AND revoked_at < now() - interval '1 day'
), refreshed AS (
  UPDATE auth.sessions SET refreshed_at = now() WHERE id = %(session_id)s
)
INSERT INTO auth.refresh_tokens (session_id, token_hash)
VALUES (%(session_id)s, %(next_hash)s)
RETURNING id
