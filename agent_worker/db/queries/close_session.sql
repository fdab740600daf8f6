-- End one session. Index: primary key. Locks: the row and its tokens.
DELETE FROM auth.sessions WHERE id = %(session_id)s RETURNING id
