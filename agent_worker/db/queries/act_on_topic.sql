-- Become a caller on a topic for the rest of the transaction, as Realtime does: policies on realtime.messages read the role,
-- the claims and realtime.topic(). Locks: none.
SELECT set_config('realtime.topic', %(topic)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('statement_timeout', '5000', true),
       set_config('role', %(role)s, true)
