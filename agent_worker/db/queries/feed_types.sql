-- What is to be known of some types, of what lies below their domains, and of their arrays' elements. Their names are those
-- without a length: character alone would mean one of them.
WITH RECURSIVE known (oid) AS (
  SELECT unnest(%(oids)s::bigint[])::oid
  UNION
  SELECT below.oid
  FROM known
  JOIN pg_catalog.pg_type t ON t.oid = known.oid
  CROSS JOIN LATERAL (VALUES (t.typbasetype), (CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0::oid END)) AS below (oid)
  WHERE below.oid <> 0
)
SELECT t.oid::bigint, t.typname::text, format_type(t.oid, -1), t.typbasetype::bigint,
       CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END::bigint, t.typdelim::text,
       t.typtype = 'c' OR EXISTS (
         -- to_jsonb heeds such a cast for types that are not built in, whose numbers begin here.
         SELECT FROM pg_catalog.pg_cast x
         WHERE x.castsource = t.oid AND x.casttarget = 114 AND x.castmethod = 'f' AND t.oid >= 16384
       )
FROM known JOIN pg_catalog.pg_type t ON t.oid = known.oid
