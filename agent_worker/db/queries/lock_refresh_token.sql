-- A refresh token with its session's user, and the seconds since it was used. Two requests with one token take turns.
-- Index: refresh_tokens_token_hash_key. Locks: the token, FOR UPDATE.
SELECT s.id, s.method, extract(epoch FROM clock_timestamp() - t.revoked_at)::float8,
       extract(epoch FROM s.created_at)::bigint, u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at
FROM auth.refresh_tokens t
JOIN auth.sessions s ON s.id = t.session_id
JOIN auth.users u ON u.id = s.user_id
WHERE t.token_hash = %(token_hash)s
FOR UPDATE OF t
