"""What a table looks like and who may read which of its columns, looked up once for each description in the log."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent_worker.db.connection import Database
from agent_worker.db.feed.pgoutput import Relation
from agent_worker.db.feed.values import Type, form_of
from agent_worker.domain.caller import ANON, AUTHENTICATED, SERVICE_ROLE

PUBLICATION = "supabase_realtime"
"""What clients may follow: the publication that the Supabase dashboard and our migrations add tables to."""

ROLES = (ANON, AUTHENTICATED, SERVICE_ROLE)

FACTS_TTL_S = 10.0
"""Longest use of what was looked up. The log announces every change of a table, of its rights and its policies; not
that a role was given to another role."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table's facts, as they were looked up once.

    Attributes:
        oid: In `pg_class`.
        schema: Its schema.
        name: Its name.
        key: Columns of the primary key, in its order; empty when there is none.
        types: Type of each column, in the table's order.
        readable: Columns that each role may read.
        has_rls: Whether row level security is on.
        bypassing: Roles that row level security does not bind.
    """

    oid: int
    schema: str
    name: str
    key: tuple[str, ...]
    types: Mapping[str, Type]
    readable: Mapping[str, frozenset[str]]
    has_rls: bool
    bypassing: frozenset[str]

    def asks(self, role: str) -> bool:
        """Whether row level security decides for each row what the role sees."""
        return self.has_rls and role not in self.bypassing


@dataclass(frozen=True, slots=True)
class Published:
    """A table of the publication.

    Attributes:
        oid: In `pg_class`.
        schema: Its schema.
        name: Its name.
        columns: The published ones.
        row_filter: SQL condition on the rows that are published; None for all.
    """

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    row_filter: str | None


class Tables:
    """Facts of tables and types, kept for a while.

    Args:
        db: Where the tables are; its sessions write types with an empty search path.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._types: dict[int, Type] = {}
        self._facts: dict[int, tuple[Relation, float, Table | None]] = {}

    def forget(self) -> None:
        """Look everything up anew: the log was not read for a while."""
        self._types.clear()
        self._facts.clear()

    async def published(self, publication: str = PUBLICATION) -> list[Published]:
        """Return what is published at this moment, by schema and name.

        Raises:
            DatabaseUnavailable: Nobody answers.
        """
        rows = await self._db.call("published_tables", {"publication": publication})
        return [Published(row[0], row[1], row[2], tuple(row[3]), row[4]) for row in rows]

    async def facts(self, relation: Relation) -> Table | None:
        """Return a table's facts as they were looked up since it was described; None once it is gone.

        Raises:
            DatabaseUnavailable: Nobody answers.
        """
        known = self._facts.get(relation.oid)
        now = time.monotonic()
        if known is not None and known[0] is relation and now < known[1]:
            return known[2]
        table = await self.look_up(relation.oid, relation.schema, relation.table)
        self._facts[relation.oid] = (relation, now + FACTS_TTL_S, table)
        return table

    async def look_up(self, oid: int, schema: str, name: str) -> Table | None:
        """Ask for a table's facts as they are now; None when there is no such table.

        Raises:
            DatabaseUnavailable: Nobody answers.
        """
        rows = await self._db.call("feed_table", {"oid": oid, "roles": list(ROLES)})
        if not rows:
            return None
        has_rls, key, type_oids, readable, bypassing = rows[0]
        await self._learn(set(type_oids.values()))
        return Table(
            oid=oid,
            schema=schema,
            name=name,
            key=tuple(key),
            types={column: self._types[type_oid] for column, type_oid in type_oids.items()},
            readable={role: frozenset(columns) for role, columns in (readable or {}).items()},
            has_rls=has_rls,
            bypassing=frozenset(bypassing),
        )

    async def _learn(self, oids: Collection[int]) -> None:
        missing = [oid for oid in oids if oid not in self._types]
        if not missing:
            return
        rows = {row[0]: row for row in await self._db.call("feed_types", {"oids": missing})}
        for oid in rows:
            self._build(oid, rows)

    def _build(self, oid: int, rows: Mapping[int, tuple[object, ...]]) -> Type:
        if (built := self._types.get(oid)) is not None:
            return built
        _, name, sql_name, below, element_oid, delimiter, is_asked = rows[oid]
        base = self._build(int(str(below)), rows) if below else None
        element = self._build(int(str(element_oid)), rows) if element_oid else None
        base_oid = base.base_oid if base else oid
        built = Type(
            oid=oid,
            name=str(name),
            sql_name=str(sql_name),
            base_oid=base_oid,
            form=base.form if base else form_of(base_oid, element, is_asked=bool(is_asked)),
            element=base.element if base else element,
            delimiter=base.delimiter if base else str(delimiter),
        )
        self._types[oid] = built
        return built
