-- Every table and view of the exposed schemas with its columns, primary key and unique keys. Read by whoever connects;
-- what a role may do with them is asked of PostgreSQL by each statement. Names of types are written in full, because
-- the search path is empty. Index: pg_class_relname_nsp_index and friends. Locks: none.
SELECT n.nspname, c.relname, c.relkind::text, c.reltype,
       coalesce(columns.all, '[]'), coalesce(keys.primary, '{}'), coalesce(keys.unique, '[]')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
  SELECT json_agg(json_build_array(
    a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1), t.typcategory,
    CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, a.attidentity = 'a' OR a.attgenerated <> '',
    CASE WHEN a.attidentity <> '' THEN pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) END
  ) ORDER BY a.attnum) AS all
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
) columns ON true
LEFT JOIN LATERAL (
  SELECT max(k.names) FILTER (WHERE i.indisprimary) AS primary, json_agg(k.names) AS unique
  FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL (
    SELECT array_agg(a.attname::text ORDER BY p.place) AS names
    FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS p (attnum, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.attnum
    WHERE p.place <= i.indnkeyatts
  ) k
  WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid
) keys ON true
WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
