"""A statement as SQL with one row as its result: the body, and how many rows it is about.

PostgreSQL makes the JSON, so that nothing is decoded and encoded again on the way. The columns of the result are always
`body, rows, total, affected, inserted, key`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from psycopg.sql import SQL, Composable, Composed, Identifier

from agent_worker.db.access.calls import VALUE, call
from agent_worker.db.access.catalog import Catalog, Function, Relation
from agent_worker.db.access.composer import COMMA, Composer, qualified
from agent_worker.db.access.query import (
    Call,
    Count,
    Delete,
    Duplicates,
    Insert,
    Read,
    Returned,
    Selection,
    Statement,
    Update,
    Wishes,
)
from agent_worker.db.access.reads import columns_needed, count_of, limits, rows_of
from agent_worker.db.access.refusals import AffectedUncountable
from agent_worker.db.access.writes import UPDATED, delete, insert, update

SOURCE = Identifier("source")
_NULL = SQL("NULL")
_PAGE = Identifier("page")


@dataclass(frozen=True, slots=True)
class Query:
    """SQL with `$1`, `$2` … and their values."""

    text: Composable
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Composition:
    """All that has to be run for a statement.

    Attributes:
        query: Returns one row; see the module.
        plan: An EXPLAIN of the rows without limits, where the planner's estimate is wanted.
        is_read_only: Whether the transaction may change nothing.
        is_write: Whether rows are changed by the statement itself.
        is_void: Whether it calls a function that returns nothing.
    """

    query: Query
    plan: Query | None
    is_read_only: bool
    is_write: bool
    is_void: bool = False


def compose(catalog: Catalog, statement: Statement, wishes: Wishes, *, max_rows: int | None) -> Composition:
    """Return the SQL of a statement.

    Raises:
        AccessRefused: A name is unknown or ambiguous, or a value can never be stored.
    """
    schema = catalog.schema(wishes.schema)
    match statement:
        case Read():
            return _read(Composer(catalog, schema, max_rows), statement, wishes)
        case Insert() | Update() | Delete():
            return _write(Composer(catalog, schema, None), statement, wishes)
        case Call():
            return _call(Composer(catalog, schema, max_rows), statement, wishes)
        case _:
            assert_never(statement)


def _read(composer: Composer, statement: Read, wishes: Wishes) -> Composition:
    relation = composer.catalog.table(composer.schema, statement.table)
    origin = qualified(relation)
    rows = rows_of(composer, relation, origin, statement.selection)
    total = _total(composer, relation, origin, statement.selection, wishes.count)
    text = SQL("SELECT {}, count(*), {}, NULL, NULL, NULL FROM ({}) AS {}").format(
        _body(wishes), total, rows, _PAGE
    )
    plan = _plan(composer, relation, statement.selection, wishes.count)
    return Composition(Query(text, tuple(composer.values)), plan, is_read_only=True, is_write=False)


def _write(composer: Composer, statement: Insert | Update | Delete, wishes: Wishes) -> Composition:
    relation = composer.catalog.table(composer.schema, statement.table)
    key = relation.primary_key if wishes.returned is Returned.HEADERS_ONLY else ()
    returning: frozenset[str] | None = frozenset(key)
    if wishes.returned is Returned.REPRESENTATION:
        returning = columns_needed(composer, relation, statement.selection)
    written = _written(composer, relation, statement, returning)
    inserted = (
        SQL("(SELECT count(*) FROM {}) - {}::bigint").format(SOURCE, UPDATED)
        if isinstance(statement, Insert) and statement.duplicates is Duplicates.MERGE
        else _NULL
    )
    affected = SQL("(SELECT count(*) FROM {})").format(SOURCE)
    rows: Composable = SQL("TABLE {}").format(SOURCE)
    if wishes.returned is Returned.REPRESENTATION:
        rows = rows_of(composer, relation, SOURCE, replace(statement.selection, where=()))
    text = SQL("WITH {} AS ({}) SELECT {}, count(*), NULL, {}, {}, {} FROM ({}) AS {}").format(
        SOURCE, written, _body(wishes), affected, inserted, _key(key), rows, _PAGE
    )
    return Composition(Query(text, tuple(composer.values)), None, is_read_only=False, is_write=True)


def _written(
    composer: Composer,
    relation: Relation,
    statement: Insert | Update | Delete,
    returning: frozenset[str] | None,
) -> Composable:
    match statement:
        case Insert():
            return insert(composer, relation, statement, returning)
        case Update():
            return update(composer, relation, statement, returning)
        case Delete():
            return delete(composer, relation, statement, returning)
        case _:
            assert_never(statement)


def _key(names: tuple[str, ...]) -> Composable:
    """The key of the one row there is, as text by column."""
    if not names:
        return _NULL
    columns = COMMA.join(Identifier(name) for name in names)
    return SQL(
        "CASE WHEN count(*) = 1 THEN (SELECT json_object_agg(e.key, e.value) FROM (SELECT {} FROM {}) AS k, "
        "LATERAL json_each_text(row_to_json(k)) AS e) END"
    ).format(columns, SOURCE)


def _call(composer: Composer, statement: Call, wishes: Wishes) -> Composition:
    function = composer.catalog.function(
        composer.schema, statement.function, statement.names, has_body=statement.body is not None
    )
    if wishes.max_affected is not None and not function.returns_set:
        raise AffectedUncountable
    source = call(composer, function, statement)
    text = _called(composer, function, statement, source, wishes)
    return Composition(
        Query(text, tuple(composer.values)),
        None,
        is_read_only=statement.is_read_only or not function.is_volatile,
        is_write=False,
        is_void=function.is_void,
    )


def _called(
    composer: Composer, function: Function, statement: Call, source: Composable, wishes: Wishes
) -> Composed:
    relation, selection = function.returns, statement.selection
    total: Composable = _NULL
    rows: Composable
    if relation is None:
        plain = Selection(columns=(), limit=selection.limit, offset=selection.offset)
        rows = SQL("SELECT {} FROM {}{}").format(VALUE, SOURCE, limits(composer, plain))
        body = _NULL if function.is_void else _values_body(function, wishes)
        if wishes.count is not None:
            total = SQL("(SELECT count(*) FROM {})").format(SOURCE)
    else:
        if not relation.columns:  # PostgreSQL says what is missing
            selection = Selection()
        rows = rows_of(composer, relation, SOURCE, selection)
        body = _body(replace(wishes, is_single=wishes.is_single or not function.returns_set))
        if wishes.count is not None:
            every = count_of(composer, relation, SOURCE, selection)
            total = SQL("(SELECT count(*) FROM ({}) AS every)").format(every)
    return SQL(
        "WITH {} AS MATERIALIZED ({}) SELECT {}, count(*), {}, (SELECT count(*) FROM {}), NULL, NULL FROM ({}) AS {}"
    ).format(SOURCE, source, body, total, SOURCE, rows, _PAGE)


def _values_body(function: Function, wishes: Wishes) -> Composable:
    if wishes.returned is not Returned.REPRESENTATION:
        return _NULL
    if function.returns_set and not wishes.is_single:
        return SQL("coalesce(json_agg({}.{}), '[]')::text").format(_PAGE, VALUE)
    return SQL("coalesce(json_agg({}.{}) -> 0, 'null')::text").format(_PAGE, VALUE)


def _body(wishes: Wishes) -> Composable:
    if wishes.returned is not Returned.REPRESENTATION:
        return _NULL
    rows = SQL("json_agg({})").format(_PAGE)
    if wishes.strips_nulls:
        rows = SQL("json_strip_nulls({})").format(rows)
    shown = SQL("coalesce({} -> 0, 'null')::text" if wishes.is_single else "coalesce({}, '[]')::text")
    return shown.format(rows)


def _total(
    composer: Composer, relation: Relation, origin: Composable, selection: Selection, count: Count | None
) -> Composable:
    if count is None or count is Count.PLANNED:
        return _NULL
    rows = count_of(composer, relation, origin, selection)
    if count is Count.ESTIMATED and composer.max_rows is not None:
        # More than a page is not counted: the planner's guess serves then.
        rows = SQL("{} LIMIT {}").format(rows, composer.bind(str(composer.max_rows + 1), "bigint"))
    return SQL("(SELECT count(*) FROM ({}) AS every)").format(rows)


def _plan(composer: Composer, relation: Relation, selection: Selection, count: Count | None) -> Query | None:
    if count is None or count is Count.EXACT:
        return None
    own = Composer(composer.catalog, composer.schema, None)
    rows = count_of(own, relation, qualified(relation), selection)
    return Query(SQL("EXPLAIN (FORMAT JSON) {}").format(rows), tuple(own.values))
