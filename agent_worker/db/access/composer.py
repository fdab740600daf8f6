"""The parts that every statement is composed of: names that are quoted, values that are bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from psycopg.sql import SQL, Composable, Composed, Identifier

from agent_worker.db.access.catalog import Catalog, Relation, TableColumn
from agent_worker.db.access.query import Step
from agent_worker.db.access.refusals import StatementRefused

COMMA, AND, OR = SQL(", "), SQL(" AND "), SQL(" OR ")
NOTHING = SQL("")


@dataclass(frozen=True, slots=True)
class Joined:
    """A related row or rows, beside the row they belong to.

    Attributes:
        alias: Name of the join in the statement.
        is_to_one: Whether it is one row at most.
    """

    alias: Identifier
    is_to_one: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a name is looked up: a relation and the name that it has in the statement."""

    relation: Relation
    alias: Identifier
    joined: Mapping[str, Joined] = field(default_factory=dict)

    def column(self, name: str) -> TableColumn:
        """Return a column.

        Raises:
            StatementRefused: There is none (42703, in PostgreSQL's words).
        """
        found = self.relation.columns.get(name)
        if found is None:
            raise StatementRefused("42703", f"column {self.relation.name}.{name} does not exist")
        return found

    def reference(self, name: str) -> Composed:
        """Return a column as SQL, after it has been looked up."""
        return self.alias + SQL(".") + Identifier(self.column(name).name)


class Composer:
    """Collects the values of one statement, and the names that it gives to its parts.

    Args:
        catalog: Where names are looked up.
        schema: The schema that the request is about.
        max_rows: Most rows of any one list; None for no limit.
    """

    def __init__(self, catalog: Catalog, schema: str, max_rows: int | None) -> None:
        self.catalog = catalog
        self.schema = schema
        self.max_rows = max_rows
        self.values: list[str | None] = []
        self._aliases = 0

    def bind(self, value: str, type_: str | None = None) -> Composable:
        """Return a placeholder for a value, cast to a type of the catalog where one is given.

        Raises:
            StatementRefused: The value has a character that PostgreSQL does not store (22021, in its words).
        """
        if "\0" in value:
            raise StatementRefused("22021", 'invalid byte sequence for encoding "UTF8": 0x00')
        self.values.append(value)
        placeholder = trusted(f"${len(self.values)}")
        return placeholder if type_ is None else SQL("{}::{}").format(placeholder, trusted(type_))

    def alias(self) -> Identifier:
        """Return a name that nothing else in the statement has."""
        self._aliases += 1
        return Identifier(f"t{self._aliases}")

    def limit(self, wanted: int | None) -> int | None:
        """Return how many rows a list may have at most; None for no limit."""
        if wanted is None or self.max_rows is None:
            return self.max_rows if wanted is None else wanted
        return min(wanted, self.max_rows)

    def type_named(self, name: str) -> Composable:
        """Return a type that a client named.

        Raises:
            StatementRefused: There is none (42704, in PostgreSQL's words).
        """
        found = self.catalog.types.get(name.strip().lower()) or self.catalog.types.get(name.strip())
        if found is None:
            raise StatementRefused("42704", f'type "{name}" does not exist')
        return trusted(found)

    def place(self, scope: Scope, name: str, path: Iterable[Step]) -> Composable:
        """Return a column, or the value at a path within it; what is no JSON is read as if it were."""
        column: Composable = scope.reference(name)
        steps = tuple(path)
        if steps and not scope.column(name).is_json:
            column = SQL("to_jsonb({})").format(column)
        return self.within(column, steps)

    def within(self, value: Composable, steps: Iterable[Step]) -> Composable:
        """Return what is at a path within JSON."""
        for step in steps:
            type_ = "integer" if isinstance(step.key, int) else "text"
            arrow = SQL("->>") if step.as_text else SQL("->")
            value = SQL("({}{}{})").format(value, arrow, self.bind(f"{step.key}", type_))
        return value

    def type_at(self, scope: Scope, name: str, path: tuple[Step, ...]) -> str:
        """Return the type of a column or of the value at a path within it."""
        column = scope.column(name)
        if not path:
            return column.plain_type
        if path[-1].as_text:
            return "text"
        return "json" if column.plain_type == "json" else "jsonb"


def trusted(text: str) -> SQL:
    """Return text as SQL. It comes from the catalog or from this room, never from a request."""
    return SQL(text)


def qualified(relation: Relation) -> Identifier:
    """Return a relation's name with its schema."""
    return Identifier(relation.schema, relation.name)
