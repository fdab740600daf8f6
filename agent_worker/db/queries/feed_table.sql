-- What a table looks like and which of its columns each role may read; no row once it is gone. Indexes: catalogues.
SELECT c.relrowsecurity,
       coalesce((
         SELECT array_agg(a.attname::text ORDER BY k.place)
         FROM pg_catalog.pg_index i
         CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
         JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
         WHERE i.indrelid = c.oid AND i.indisprimary
       ), '{}') AS key,
       (
         SELECT json_object_agg(a.attname, a.atttypid::bigint)
         FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       ) AS type_oids,
       (
         SELECT json_object_agg(r.rolname, coalesce((
           SELECT json_agg(a.attname)
           FROM pg_catalog.pg_attribute a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             AND has_column_privilege(r.oid, a.attrelid, a.attnum, 'SELECT')
         ), '[]'))
         FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (%(roles)s::text[])
       ) AS readable,
       coalesce((
         SELECT array_agg(r.rolname::text) FROM pg_catalog.pg_roles r
         WHERE r.rolname = ANY (%(roles)s::text[]) AND (r.rolsuper OR r.rolbypassrls)
       ), '{}') AS bypassing
FROM pg_catalog.pg_class c
WHERE c.oid = %(oid)s::bigint
