"""A request to tables and functions as data: what the grammar of a protocol produces and SQL is composed from.

Names in here are as the client wrote them: nothing has been looked up yet. Values are text and stay text until
PostgreSQL casts them to the type of the column they are compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

from agent_worker.domain.json import JsonValue


class Operator(StrEnum):
    """How a filter compares; the names are PostgREST's."""

    EQ = "eq"
    NEQ = "neq"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"
    LIKE = "like"
    ILIKE = "ilike"
    MATCH = "match"
    IMATCH = "imatch"
    IS = "is"
    ISDISTINCT = "isdistinct"
    IN = "in"
    CS = "cs"
    CD = "cd"
    OV = "ov"
    SL = "sl"
    SR = "sr"
    NXL = "nxl"
    NXR = "nxr"
    ADJ = "adj"
    FTS = "fts"
    PLFTS = "plfts"
    PHFTS = "phfts"
    WFTS = "wfts"


class Count(StrEnum):
    """How to find out how many rows there are without a limit."""

    EXACT = "exact"
    PLANNED = "planned"
    ESTIMATED = "estimated"


class Returned(StrEnum):
    """What a write gives back."""

    MINIMAL = "minimal"
    HEADERS_ONLY = "headers-only"
    REPRESENTATION = "representation"


class Duplicates(StrEnum):
    """What an insert does with a row whose key is taken."""

    MERGE = "merge-duplicates"
    IGNORE = "ignore-duplicates"


@dataclass(frozen=True, slots=True)
class Step:
    """One step into a JSON value.

    Attributes:
        key: Name of a member, or index of an element (negative counts from the end).
        as_text: Whether the result is text (`->>`) and not JSON (`->`).
    """

    key: str | int
    as_text: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column, or a place within its JSON."""

    name: str
    path: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One item of a select list; `*` stands for all columns.

    Attributes:
        field: What is shown.
        alias: The name it is shown by; None is the column's own, or the last name of its path.
        cast: A type's name.
    """

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """One comparison.

    Attributes:
        value: Text; a list for `in` and with a quantifier; one of null, not_null, true, false, unknown for `is`.
        quantifier: Whether any or all of the values have to fit.
        language: Configuration of a text search.
    """

    field: Field
    operator: Operator
    value: str | tuple[str, ...]
    negated: bool = False
    quantifier: Literal["any", "all"] | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and` or `or`."""

    joint: Literal["and", "or"]
    members: tuple[Condition, ...]
    negated: bool = False


Condition: TypeAlias = Filter | Group


@dataclass(frozen=True, slots=True)
class Order:
    """One term of an order.

    Attributes:
        relation: Name of an embedded relation that the field belongs to.
        descending: None is PostgreSQL's default, ascending.
        nulls: None is PostgreSQL's default, last when ascending.
    """

    field: Field
    descending: bool | None = None
    nulls: Literal["first", "last"] | None = None
    relation: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which columns and related rows, of which rows, in which order.

    Attributes:
        columns: Empty together with `embeds` shows nothing.
        limit: Most rows; None is as many as the server gives.
    """

    columns: tuple[Column, ...] = (Column(Field("*")),)
    embeds: tuple[Embed, ...] = ()
    where: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Embed:
    """Rows of another relation, found by a foreign key.

    Attributes:
        relation: The table, or the column or constraint that leads to it.
        alias: The name it is shown by; None is `relation`.
        hint: A column, a constraint or a table that tells which of several foreign keys is meant.
        is_inner: Whether a row without related rows is left out.
        is_spread: Whether its columns are shown as if they were the parent's.
    """

    relation: str
    selection: Selection
    alias: str | None = None
    hint: str | None = None
    is_inner: bool = False
    is_spread: bool = False

    @property
    def shown_as(self) -> str:
        """The member that holds it in the result."""
        return self.alias or self.relation


@dataclass(frozen=True, slots=True)
class Rows:
    """The body of a write.

    Attributes:
        json: One JSON object, or an array of objects.
        columns: The members that are written, in any order.
        count: How many objects there are, where it is known without looking into `json`.
    """

    json: str
    columns: tuple[str, ...]
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Rows of a table."""

    table: str
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class Insert:
    """New rows.

    Attributes:
        duplicates: None lets a taken key fail.
        conflict: Columns of the key; empty is the primary key.
        fills_defaults: Whether a missing member takes the column's default, and not null.
    """

    table: str
    rows: Rows
    selection: Selection = field(default_factory=Selection)
    duplicates: Duplicates | None = None
    conflict: tuple[str, ...] = ()
    fills_defaults: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """New values for the rows that `where` fits, which must not be empty."""

    table: str
    rows: Rows
    where: tuple[Condition, ...] = ()
    selection: Selection = field(default_factory=Selection)
    fills_defaults: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Take the rows away that `where` fits, which must not be empty."""

    table: str
    where: tuple[Condition, ...] = ()
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True, slots=True)
class Call:
    """A function by its name and the names of its arguments.

    Attributes:
        arguments: One JSON object, of which `names` are passed; or texts by name, which PostgreSQL casts.
        names: Names of the arguments that are given.
        body: The whole body, for a function with one unnamed argument of type json or jsonb; None for none.
        is_read_only: Whether it may change nothing, whatever the function says of itself.
    """

    function: str
    arguments: str | Mapping[str, str | tuple[str, ...]]
    names: frozenset[str]
    body: str | None = None
    selection: Selection = field(default_factory=Selection)
    is_read_only: bool = False


Statement: TypeAlias = Read | Insert | Update | Delete | Call


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the answer should be like, besides what is in it.

    Attributes:
        schema: One of the exposed schemas; None is the first.
        count: None does not count.
        is_single: Whether it has to be exactly one row, shown as an object.
        strips_nulls: Whether members that are null are left out.
        max_affected: Most rows that a write or a call may touch; more, and it is undone.
        is_undone: Whether a write is rolled back after it has been answered.
    """

    schema: str | None = None
    count: Count | None = None
    returned: Returned = Returned.MINIMAL
    is_single: bool = False
    strips_nulls: bool = False
    max_affected: int | None = None
    is_undone: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a statement.

    Attributes:
        body: JSON; None where nothing is to be shown.
        rows: Rows in `body`, or touched by the write.
        total: Rows without limit and offset, where they were counted.
        inserted: Rows of an upsert that are new; None for every other statement.
        key: Primary key of the one row that was inserted, as text by column; null stays None.
        is_void: Whether the function returns nothing.
    """

    body: str | None
    rows: int
    total: int | None = None
    inserted: int | None = None
    key: Mapping[str, JsonValue] | None = None
    is_void: bool = False
