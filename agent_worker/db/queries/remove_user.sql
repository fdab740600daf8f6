-- Delete a user with its sessions. Index: primary key. Locks: the row and its sessions.
DELETE FROM auth.users WHERE id = %(id)s RETURNING id
