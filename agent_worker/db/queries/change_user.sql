-- Change what is given of a user; metadata is merged key by key, and a null takes its key away. An address makes an
-- anonymous user a named one. No row: there is no such user. Index: primary key. Locks: the row.
UPDATE auth.users u
SET email = coalesce(%(email)s, u.email),
    email_confirmed_at = CASE WHEN %(email)s::text IS NULL THEN u.email_confirmed_at ELSE now() END,
    is_anonymous = u.is_anonymous AND %(email)s::text IS NULL,
    encrypted_password = coalesce(%(password_hash)s, u.encrypted_password),
    raw_app_meta_data = (
      SELECT coalesce(jsonb_object_agg(entry.key, entry.value), '{}')
      FROM jsonb_each(u.raw_app_meta_data || %(app_metadata)s::text::jsonb) AS entry
      WHERE entry.value <> 'null'
    ),
    raw_user_meta_data = (
      SELECT coalesce(jsonb_object_agg(entry.key, entry.value), '{}')
      FROM jsonb_each(u.raw_user_meta_data || %(user_metadata)s::text::jsonb) AS entry
      WHERE entry.value <> 'null'
    ),
    banned_until = CASE
      WHEN %(ban_s)s::float8 IS NULL THEN u.banned_until
      WHEN %(ban_s)s::float8 > 0 THEN now() + make_interval(secs => %(ban_s)s::float8) END,
    updated_at = now()
WHERE u.id = %(id)s
RETURNING u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at
