-- The user of a session that is open. Indexes: primary keys.
SELECT u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at
FROM auth.sessions s
JOIN auth.users u ON u.id = s.user_id
WHERE s.id = %(session_id)s AND s.user_id = %(user_id)s
