-- How changes can be had from this server with this role, and which of the publications are there.
SELECT current_setting('wal_level') = 'logical', r.rolsuper OR r.rolreplication,
       ARRAY(
         SELECT p.pubname::text FROM pg_catalog.pg_publication p
         WHERE p.pubname = ANY (%(publications)s::text[]) ORDER BY p.pubname
       )
FROM pg_catalog.pg_roles r
WHERE r.rolname = current_user
