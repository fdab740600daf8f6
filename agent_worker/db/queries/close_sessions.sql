-- End a user's sessions, all or all but one. Index: sessions_user_id_idx. Locks: the rows and their tokens.
DELETE FROM auth.sessions
WHERE user_id = %(user_id)s AND (%(but)s::uuid IS NULL OR id <> %(but)s)
RETURNING id
