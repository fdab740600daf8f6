"""Write the tables as TypeScript, from a migrated database.

    python scripts/frontend_types.py postgresql://… > frontend_client/src/core/schema.ts

What a client may insert or update is taken from the grants to `authenticated`, so that the compiler refuses a column
that the database would refuse. `tests/frontend` keeps the file current.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

import psycopg

HEAD = """\
// Written by scripts/frontend_types.py from the migrations. Do not edit: change a migration, then
// run `pytest tests/frontend/test_types.py --update-schema`.
"""

NAMES = {
    "agent_task_requests": "AgentTaskRow",
    "agent_task_events": "AgentTaskEventRow",
    "human_tasks": "HumanTaskRow",
}
HIDDEN = {("agent_task_requests", "seq"), ("agent_task_requests", "resume")}
"""Columns of the engine's own."""

TYPES = {"text": "string", "uuid": "string", "int2": "number", "int4": "number", "int8": "number"} | {
    "timestamptz": "string",
    "jsonb": "unknown",
    "bool": "boolean",
}

COLUMNS = """
SELECT c.relname, a.attname, t.typname, a.attnotnull,
  a.atthasdef OR a.attidentity <> '' AS has_default,
  obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum),
  has_column_privilege('authenticated', c.oid, a.attnum, 'INSERT'),
  has_column_privilege('authenticated', c.oid, a.attnum, 'UPDATE'),
  (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
   WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
     AND pg_get_constraintdef(k.oid) LIKE '%%= ANY%%')
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%s)
ORDER BY array_position(%s, c.relname::text), a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, as TypeScript needs to know it."""

    table: str
    name: str
    type: str
    not_null: bool
    has_default: bool
    table_comment: str | None
    comment: str | None
    insertable: bool
    updatable: bool
    allowed: str | None

    @property
    def typescript(self) -> str:
        """The type of its values; a list of allowed ones becomes a union."""
        values = re.findall(r"'([a-z_]+)'::text", self.allowed or "")
        union = " | ".join(f"'{value}'" for value in values) or TYPES[self.type]
        return union if self.not_null or union == "unknown" else f"{union} | null"


def typescript(url: str) -> str:
    """Return the text of `schema.ts` for the database at `url`."""
    with psycopg.connect(url) as conn:
        names = list(NAMES)
        columns = [Column(*row) for row in conn.execute(COLUMNS, (names, names))]
    blocks = [HEAD]
    for table, name in NAMES.items():
        mine = [column for column in columns if column.table == table]
        comment = mine[0].table_comment
        seen = [column for column in mine if (table, column.name) not in HIDDEN]
        blocks.append(interface(name, comment, seen, optional=False))
        changes = name.removesuffix("Row")
        if inserted := [column for column in mine if column.insertable]:
            what = f"What a signed-in user may give a new row of `{table}`."
            blocks.append(interface(f"{changes}Insert", what, inserted, optional=True))
        if updated := [column for column in mine if column.updatable]:
            what = f"What a signed-in user may change in a row of `{table}`."
            blocks.append(interface(f"{changes}Update", what, updated, optional=True))
    return "\n".join(blocks)


def interface(name: str, comment: str | None, columns: list[Column], *, optional: bool) -> str:
    """Return one exported interface."""
    lines = [f"/** {comment} */"] if comment else []
    lines.append(f"export interface {name} {{")
    for column in columns:
        if column.comment and not optional:
            lines.append(f"  /** {column.comment} */")
        lines.append(f"  {column.name}{'?' if optional else ''}: {column.typescript};")
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    sys.stdout.write(typescript(sys.argv[1]))
