-- Open a session with its first refresh token, and note the sign-in. Index: primary key. Locks: the user's row.
WITH opened AS (
  INSERT INTO auth.sessions (user_id, method, user_agent)
  VALUES (%(user_id)s, %(method)s, left(%(user_agent)s, 500))
  RETURNING id
), token AS (
  INSERT INTO auth.refresh_tokens (session_id, token_hash)
  SELECT id, %(token_hash)s FROM opened
)
UPDATE auth.users u
SET last_sign_in_at = now()
FROM opened
WHERE u.id = %(user_id)s
RETURNING opened.id, u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at
