-- Everything about one user. Index: primary key.
SELECT u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at
FROM auth.users u
WHERE u.id = %(id)s
