"""What the exposed schemas hold: tables with their columns and keys, functions with their arguments, types.

Loaded as a whole, in four statements; a catalog never changes, it is replaced. Every name that reaches SQL has been
found in here, and every type is written as PostgreSQL writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from agent_worker.db.access.refusals import (
    AmbiguousFunction,
    UnknownFunction,
    UnknownSchema,
    UnknownTable,
    nearest,
)
from agent_worker.db.connection import Connection
from agent_worker.db.queries import sql

NO_SEARCH_PATH = "SELECT set_config('search_path', '', true)"

Name: TypeAlias = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column.

    Attributes:
        type: As SQL writes it, with its length: `character varying(50)`.
        plain_type: Without its length, as values are cast to it; a longer one is then refused, not cut.
        category: PostgreSQL's `typcategory`: `A` for arrays, `S` for strings and so on.
        default: Its expression, or None.
        is_generated: Whether nobody may write it.
        sequence: Name of an identity's sequence, quoted.
    """

    name: str
    type: str
    plain_type: str
    category: str
    default: str | None
    is_generated: bool
    sequence: str | None

    @property
    def is_json(self) -> bool:
        """Whether it is of type json or jsonb."""
        return self.plain_type in {"json", "jsonb"}


@dataclass(frozen=True)
class Relation:
    """What has columns: a table, a view, or what a function returns."""

    schema: str
    name: str
    columns: Mapping[str, TableColumn]
    primary_key: tuple[str, ...] = ()
    unique_keys: frozenset[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of `origin` that name a row of `target`."""

    constraint: str
    origin: Name
    target: Name
    columns: tuple[str, ...]
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument that a caller may give; the name is empty where it has none."""

    name: str
    type: str
    is_required: bool
    is_variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function.

    Attributes:
        is_volatile: Whether it may write.
        returns: What its rows look like; None where it returns a plain value.
        is_void: Whether it returns nothing.
    """

    schema: str
    name: str
    arguments: tuple[Argument, ...]
    is_volatile: bool
    returns_set: bool
    is_void: bool
    returns: Relation | None

    @property
    def signature(self) -> str:
        """Its name and arguments, for a person."""
        arguments = ", ".join(f"{argument.name} => {argument.type}" for argument in self.arguments)
        return f"{self.schema}.{self.name}({arguments})"

    @property
    def takes_body(self) -> bool:
        """Whether its one argument is JSON without a name."""
        return [(argument.name, argument.type) for argument in self.arguments] in (
            [("", "json")],
            [("", "jsonb")],
        )

    def takes(self, names: frozenset[str]) -> bool:
        """Whether these arguments are enough, and none is too many; one without a name cannot be given by name."""
        known = {argument.name for argument in self.arguments if argument.name}
        needed = {argument.name for argument in self.arguments if argument.is_required}
        return names <= known and needed <= names


class Catalog:
    """The exposed schemas at one moment.

    Args:
        schemas: Their names; the first is the one that is meant when none is named.
    """

    def __init__(
        self,
        schemas: Sequence[str],
        *,
        tables: Iterable[Relation],
        foreign_keys: Iterable[ForeignKey],
        functions: Iterable[Function],
        types: Mapping[str, str],
    ) -> None:
        self.schemas = tuple(schemas)
        self.tables: Mapping[Name, Relation] = {(table.schema, table.name): table for table in tables}
        self.foreign_keys = tuple(foreign_keys)
        self.types = types
        overloads: dict[Name, list[Function]] = {}
        for function in functions:
            overloads.setdefault((function.schema, function.name), []).append(function)
        self._functions = overloads

    @cached_property
    def foreign_keys_of(self) -> Mapping[Name, tuple[ForeignKey, ...]]:
        """Foreign keys by each of the two tables that they join."""
        found: dict[Name, list[ForeignKey]] = {}
        for key in self.foreign_keys:
            for name in {key.origin, key.target}:
                found.setdefault(name, []).append(key)
        return {name: tuple(keys) for name, keys in found.items()}

    def schema(self, name: str | None) -> str:
        """Return the schema that is meant.

        Raises:
            UnknownSchema: It is not exposed.
        """
        if name is None:
            return self.schemas[0]
        if name not in self.schemas:
            raise UnknownSchema(name, self.schemas)
        return name

    def table(self, schema: str, name: str) -> Relation:
        """Return a table or view.

        Raises:
            UnknownTable: There is none.
        """
        found = self.tables.get((schema, name))
        if found is None:
            known = [other for in_schema, other in self.tables if in_schema == schema]
            raise UnknownTable(schema, name, nearest(name, known))
        return found

    def function(self, schema: str, name: str, given: frozenset[str], *, has_body: bool) -> Function:
        """Return the one function that takes these arguments, or the whole body as its only one.

        Raises:
            UnknownFunction: None does.
            AmbiguousFunction: Several do.
        """
        overloads = self._functions.get((schema, name), [])
        fitting = [function for function in overloads if function.takes(given)]
        if not fitting and has_body:
            fitting = [function for function in overloads if function.takes_body]
        if len(fitting) > 1:
            raise AmbiguousFunction(tuple(function.signature for function in fitting))
        if not fitting:
            arguments = tuple(sorted(given))
            raise UnknownFunction(schema, name, arguments, has_body, self._similar(schema, name, arguments))
        return fitting[0]

    def argument_names(self, schema: str, name: str) -> frozenset[str]:
        """Return the names of all arguments of all functions of that name."""
        overloads = self._functions.get((schema, name), [])
        return frozenset(argument.name for function in overloads for argument in function.arguments)

    def _similar(self, schema: str, name: str, arguments: Sequence[str]) -> str | None:
        overloads = self._functions.get((schema, name))
        if overloads is None:
            return nearest(name, [other for in_schema, other in self._functions if in_schema == schema])
        known = [
            ", ".join(sorted(argument.name for argument in function.arguments)) for function in overloads
        ]
        found = nearest(", ".join(arguments), known)
        return found and f"{name}({found})"


async def load(conn: Connection, schemas: Sequence[str]) -> Catalog:
    """Read the catalog as it is now, in one transaction."""
    params = {"schemas": list(schemas)}
    async with conn.transaction():
        await conn.execute(NO_SEARCH_PATH)
        tables = await _rows(conn, "catalog_tables", params)
        keys = await _rows(conn, "catalog_foreign_keys", params)
        functions = await _rows(conn, "catalog_functions", params)
        types = await _rows(conn, "catalog_types", params)
    relations = {row[3]: _table(*row) for row in tables}
    return Catalog(
        schemas,
        tables=relations.values(),
        foreign_keys=[
            ForeignKey(constraint, (schema, name), (to_schema, to_name), tuple(columns), tuple(to_columns))
            for constraint, schema, name, to_schema, to_name, columns, to_columns in keys
        ],
        functions=[_function(relations, _FunctionRow(*row)) for row in functions],
        types=_types(types),
    )


async def _rows(conn: Connection, name: Any, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    cursor = await conn.execute(sql(name), params)
    return await cursor.fetchall()


def _table(
    schema: str, name: str, _kind: str, _type: int, columns: list[Any], primary: list[str], unique: list[Any]
) -> Relation:
    keys = frozenset(frozenset(names) for names in unique)
    return Relation(schema, name, _columns(columns), tuple(primary), keys)


def _columns(rows: list[Any]) -> Mapping[str, TableColumn]:
    return {row[0]: TableColumn(*row) for row in rows}


class _FunctionRow(NamedTuple):
    """A row of `catalog_functions.sql`."""

    schema: str
    name: str
    volatility: str
    returns_set: bool
    is_void: bool
    names: list[str]
    types: list[str] | None
    modes: list[str] | None
    defaults: int
    returned: str
    kind: str
    returned_oid: int
    columns: list[Any]


def _function(relations: Mapping[int, Relation], row: _FunctionRow) -> Function:
    every = [
        (row.names[place] if place < len(row.names) else "", type_, mode)
        for place, (type_, mode) in enumerate(zip(row.types or (), row.modes or (), strict=True))
    ]
    taken = [(name, type_, mode) for name, type_, mode in every if mode in "ibv"]
    needed = len(taken) - row.defaults
    return Function(
        row.schema,
        row.name,
        tuple(
            Argument(name, type_, is_required=place < needed and mode != "v", is_variadic=mode == "v")
            for place, (name, type_, mode) in enumerate(taken)
        ),
        is_volatile=row.volatility == "v",
        returns_set=row.returns_set,
        is_void=row.is_void,
        returns=_returned(relations, row, [(name, type_) for name, type_, mode in every if mode in "obt"]),
    )


def _returned(
    relations: Mapping[int, Relation], row: _FunctionRow, out: list[tuple[str, str]]
) -> Relation | None:
    if out:
        return Relation(row.schema, row.name, {name: _result_column(name, type_) for name, type_ in out})
    if (table := relations.get(row.returned_oid)) is not None:
        return table
    if row.kind == "c":
        return Relation(row.schema, row.name, _columns(row.columns))
    return Relation(row.schema, row.name, {}) if row.returned == "record" else None


def _result_column(name: str, type_: str) -> TableColumn:
    category = "A" if type_.endswith("[]") else "U"
    return TableColumn(name, type_, type_, category, None, is_generated=True, sequence=None)


def _types(rows: Iterable[tuple[str, str, str]]) -> Mapping[str, str]:
    """Map each name that a client may write to the type in full; what SQL itself names goes before the rest."""
    found: dict[str, str] = {}
    for short, written, exact in rows:
        for name in (written, short):
            found.setdefault(name, exact)
    return found
