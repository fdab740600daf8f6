"""HTTP and WebSocket in the place of Supabase's: `rest/v1`, `realtime/v1`, `auth/v1`, and the product's own pages.

The way of the data: a request brings an API key and perhaps a token, `security` makes a `Caller` of them, and every
statement runs in a transaction that takes the caller's role and claims, so that row level security decides, here as on
hosted Supabase. Changes come the other way: read once from the log by `db.feed`, asked once per distinct caller who may
see them, and put into each socket's bounded queue.
"""
