-- Add a user; no row when the e-mail address is taken. Index: users_email_key. Locks: none.
INSERT INTO auth.users AS u (
  email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, is_anonymous
)
VALUES (
  %(email)s, %(password_hash)s, CASE WHEN %(email)s::text IS NOT NULL THEN now() END,
  %(app_metadata)s::text::jsonb, %(user_metadata)s::text::jsonb, %(is_anonymous)s
)
ON CONFLICT (email) DO NOTHING
RETURNING u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at
