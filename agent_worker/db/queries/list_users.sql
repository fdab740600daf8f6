-- One page of the users, newest first, with the number of all. Reads the whole table.
SELECT u.id, u.email, u.encrypted_password, u.email_confirmed_at, u.last_sign_in_at, u.raw_app_meta_data,
       u.raw_user_meta_data, u.is_anonymous, u.banned_until, u.created_at, u.updated_at, count(*) OVER ()
FROM auth.users u
ORDER BY u.created_at DESC, u.id
LIMIT %(limit)s OFFSET %(offset)s
