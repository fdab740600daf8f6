-- Every foreign key between tables of the exposed schemas. A key of a partition is its parent's. Locks: none.
SELECT k.conname, n.nspname, c.relname, fn.nspname, fc.relname,
       array(
         SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS p (attnum, place)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.attnum ORDER BY p.place
       ),
       array(
         SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS p (attnum, place)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.attnum ORDER BY p.place
       )
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class fc ON fc.oid = k.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = fc.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = ANY(%(schemas)s) AND fn.nspname = ANY(%(schemas)s)
ORDER BY k.conname
