-- Every function of the exposed schemas that a request can call: no triggers, no aggregates, no procedures. Arguments
-- come as name, type, mode (i in, o out, b both, v variadic, t column of the result) in their order. Locks: none.
SELECT n.nspname, p.proname, p.provolatile::text, p.proretset, p.prorettype = 'void'::regtype,
       coalesce(p.proargnames, '{}'), arguments.types, arguments.modes, p.pronargdefaults,
       format_type(p.prorettype, NULL), coalesce(domain_base.typtype, t.typtype)::text, p.prorettype,
       coalesce(result.columns, '[]')
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_type t ON t.oid = p.prorettype
LEFT JOIN pg_catalog.pg_type domain_base ON t.typtype = 'd' AND domain_base.oid = t.typbasetype
CROSS JOIN LATERAL (
  SELECT array_agg(format_type(a.oid, -1) ORDER BY a.place) AS types,
         array_agg(coalesce(p.proargmodes[a.place]::text, 'i') ORDER BY a.place) AS modes
  FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a (oid, place)
) arguments
LEFT JOIN LATERAL (
  SELECT json_agg(json_build_array(
    a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1), ct.typcategory, NULL, false, NULL
  ) ORDER BY a.attnum) AS columns
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_type ct ON ct.oid = a.atttypid
  WHERE a.attrelid = coalesce(domain_base.typrelid, t.typrelid) AND a.attnum > 0 AND NOT a.attisdropped
) result ON t.typrelid <> 0 OR domain_base.typrelid <> 0
WHERE n.nspname = ANY(%(schemas)s) AND p.prokind = 'f'
  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
ORDER BY n.nspname, p.proname, p.oid
