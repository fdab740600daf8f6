-- Become a caller for the rest of the transaction, as PostgREST does: policies and functions read the role and the claims,
-- names are looked up in the exposed schema only, and a request that may not write cannot. Locks: none.
SELECT set_config('search_path', %(search_path)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('request.method', %(method)s, true),
       set_config('request.path', %(path)s, true),
       set_config('request.headers', %(headers)s, true),
       set_config('statement_timeout', %(timeout_ms)s, true),
       CASE WHEN %(is_read_only)s THEN set_config('transaction_read_only', 'on', true) END,
       set_config('role', %(role)s, true)
