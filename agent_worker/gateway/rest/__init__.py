"""`rest/v1`: tables and functions over HTTP, in the part of PostgREST's protocol that Supabase's clients speak.

Query strings, headers and bodies become a statement of `db.access`; what comes of it becomes a status, headers and a
body. Whatever PostgREST documents and this room lacks is refused by name (docs/rest.md).
"""
