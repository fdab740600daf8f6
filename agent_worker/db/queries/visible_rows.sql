-- Which rows of one table each caller may see: positions in its list of keys, from 1. Index: the table's primary key.
SELECT caller, positions
FROM agent_worker.visible_rows(
  %(oid)s::bigint::oid, %(columns)s::text[], %(types)s::text[], %(roles)s::text[], %(claims)s::text[], %(keys)s::text[]
)
