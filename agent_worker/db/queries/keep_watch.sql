-- Become the one worker that looks out for new tasks of these kinds, where nobody is; the first key is "aww1" in ASCII.
SELECT kind
FROM unnest(%(kinds)s::text[]) AS kind
WHERE pg_try_advisory_lock(1635219249, hashtext(kind))
