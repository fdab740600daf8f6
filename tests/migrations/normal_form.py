"""A schema as text that is the same on every server version: read from the catalogues, sorted by name.

pg_dump would need a binary as new as the server, and words things differently from version to version.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg

SCHEMAS = ["public", "agent_worker"]

TABLES: LiteralString = """
    SELECT c.oid, n.nspname || '.' || c.relname, obj_description(c.oid, 'pg_class'), c.reloptions,
           c.relrowsecurity, c.relreplident
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'm')
    ORDER BY 2
"""

COLUMNS: LiteralString = """
    SELECT concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
             CASE WHEN a.attidentity = 'a' THEN 'generated always as identity' END,
             'default ' || pg_get_expr(d.adbin, d.adrelid),
             CASE WHEN a.attnotnull THEN 'not null' END,
             '-- ' || col_description(a.attrelid, a.attnum))
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""

# NOT NULL became a constraint with a name in PostgreSQL 18; here it stands with its column.
CONSTRAINTS: LiteralString = """
    SELECT format('constraint %%I %%s', conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE conrelid = %(oid)s AND contype <> 'n' ORDER BY conname
"""

INDEXES: LiteralString = """
    SELECT pg_get_indexdef(i.indexrelid)
    FROM pg_index i
    WHERE i.indrelid = %(oid)s AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid)
    ORDER BY 1
"""

TRIGGERS: LiteralString = """
    SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %(oid)s AND NOT tgisinternal ORDER BY tgname
"""

POLICIES: LiteralString = """
    SELECT format('policy %%I for %%s to %%s using (%%s) with check (%%s)', polname,
             CASE polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
               WHEN 'd' THEN 'delete' ELSE 'all' END,
             (SELECT string_agg(rolname, ', ' ORDER BY rolname) FROM pg_roles WHERE oid = ANY (polroles)),
             coalesce(pg_get_expr(polqual, polrelid), '-'), coalesce(pg_get_expr(polwithcheck, polrelid), '-'))
    FROM pg_policy WHERE polrelid = %(oid)s ORDER BY polname
"""

# MAINTAIN came with PostgreSQL 17 and belongs to `grant all`.
GRANTS: LiteralString = """
    SELECT format('grant %%s to %%s', string_agg(DISTINCT lower(x.privilege_type), ', '),
             coalesce(r.rolname, 'public'))
    FROM ({acl}) object (acl, owner), aclexplode(object.acl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE x.grantee <> object.owner AND x.privilege_type <> 'MAINTAIN'
    GROUP BY coalesce(r.rolname, 'public') ORDER BY 1
"""

COLUMN_GRANTS: LiteralString = """
    SELECT format('grant %%s (%%s) to %%s', lower(x.privilege_type), string_agg(a.attname, ', ' ORDER BY a.attname),
             coalesce(r.rolname, 'public'))
    FROM pg_attribute a, aclexplode(a.attacl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE a.attrelid = %(oid)s
    GROUP BY x.privilege_type, coalesce(r.rolname, 'public') ORDER BY 1
"""

FUNCTIONS: LiteralString = """
    SELECT p.oid, p.oid::regprocedure::text, pg_get_functiondef(p.oid)
    FROM pg_proc p
    WHERE p.pronamespace = ANY (%(schemas)s::text[]::regnamespace[])
    ORDER BY 2
"""

PUBLICATION: LiteralString = """
    SELECT format('publication %%I table %%I.%%I', pubname, schemaname, tablename)
    FROM pg_publication_tables WHERE schemaname = ANY (%(schemas)s) ORDER BY 1
"""

TABLE_ACL = "SELECT coalesce(relacl, acldefault('r', relowner)), relowner FROM pg_class WHERE oid = %(oid)s"
FUNCTION_ACL = "SELECT coalesce(proacl, acldefault('f', proowner)), proowner FROM pg_proc WHERE oid = %(oid)s"
SCHEMA_ACL = "SELECT nspacl, nspowner FROM pg_namespace WHERE nspname = %(oid)s"


def normal_form(url: str) -> str:
    """Describe the tables, functions, policies, grants and publications of a database."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=") as conn:
        return "\n".join(_lines(conn)) + "\n"


def _lines(conn: psycopg.Connection[tuple[Any, ...]]) -> Iterator[str]:
    def texts(query: str, oid: object = None) -> Iterator[str]:
        for row in conn.execute(query.encode(), {"oid": oid, "schemas": SCHEMAS}):
            yield f"  {row[0]}"

    yield "schema agent_worker"
    yield from texts(GRANTS.format(acl=SCHEMA_ACL), "agent_worker")
    for oid, name, comment, options, has_policies, identity in conn.execute(TABLES, {"schemas": SCHEMAS}):
        yield f"\ntable {name}" + (f" -- {comment}" if comment else "")
        for query in (COLUMNS, CONSTRAINTS):
            yield from texts(query, oid)
        yield from (f"  with {option}" for option in options or ())
        yield f"  row level security {'on' if has_policies else 'off'}, replica identity {identity}"
        for query in (POLICIES, GRANTS.format(acl=TABLE_ACL), COLUMN_GRANTS, INDEXES, TRIGGERS):
            yield from texts(query, oid)
    for oid, name, definition in conn.execute(FUNCTIONS, {"schemas": SCHEMAS}):
        yield f"\nfunction {name}"
        yield from texts(GRANTS.format(acl=FUNCTION_ACL), oid)
        yield definition.rstrip()
    yield "\npublications"
    yield from texts(PUBLICATION)
