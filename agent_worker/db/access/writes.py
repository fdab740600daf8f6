"""Inserts, updates and deletes as SQL: the body is one bound value, whatever number of rows is in it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from psycopg.sql import SQL, Composable, Identifier, Literal

from agent_worker.db.access.catalog import Relation, TableColumn
from agent_worker.db.access.composer import COMMA, NOTHING, Composer, Scope, qualified, trusted
from agent_worker.db.access.conditions import where
from agent_worker.db.access.query import Condition, Delete, Duplicates, Insert, Rows, Update
from agent_worker.db.access.refusals import StatementRefused, UnknownColumn

UPDATED = SQL("coalesce(nullif(current_setting('agent_worker.updated', true), ''), '0')")
"""How many rows an upsert has changed so far, by a setting that ends with the transaction: RETURNING cannot tell new rows
from changed ones without a right to read the whole table."""


def insert(
    composer: Composer, relation: Relation, statement: Insert, returning: Collection[str] | None
) -> Composable:
    """Return an INSERT with what it returns: columns, all of them (None), or a 1 for each row (empty).

    Raises:
        UnknownColumn: A member of the body is no column.
    """
    columns = _written(relation, statement.rows.columns)
    alias = composer.alias()
    names = COMMA.join(Identifier(column.name) for column in columns)
    target = SQL("INSERT INTO {} AS {}").format(qualified(relation), alias)
    return NOTHING.join(
        (
            target,
            SQL(" ({})").format(names) if columns else NOTHING,
            _values(composer, columns, statement.rows, fills_defaults=statement.fills_defaults),
            _on_conflict(relation, statement, columns),
            _returning(alias, returning),
        )
    )


def update(
    composer: Composer, relation: Relation, statement: Update, returning: Collection[str] | None
) -> Composable:
    """Return an UPDATE; see `insert`. With an empty body it changes nothing and returns nothing.

    Raises:
        StatementRefused: There is no condition (21000), as Supabase's projects have it.
    """
    _require_where("UPDATE", statement.where)
    columns = _written(relation, statement.rows.columns)
    alias, body = composer.alias(), composer.alias()
    scope = Scope(relation, alias)
    if not columns:
        shown = _names(alias, returning)
        return SQL("SELECT {} FROM {} AS {} WHERE false").format(shown, qualified(relation), alias)
    settings = COMMA.join(SQL("{0} = {1}.{0}").format(Identifier(column.name), body) for column in columns)
    rows = _recordset(composer, columns, statement.rows, fills_defaults=statement.fills_defaults)
    return SQL("UPDATE {} AS {} SET {} FROM (SELECT * FROM {} LIMIT 1) AS {}{}{}").format(
        qualified(relation),
        alias,
        settings,
        rows,
        body,
        where(composer, scope, statement.where),
        _returning(alias, returning),
    )


def delete(
    composer: Composer, relation: Relation, statement: Delete, returning: Collection[str] | None
) -> Composable:
    """Return a DELETE; see `insert`, and `update` for the condition."""
    _require_where("DELETE", statement.where)
    alias = composer.alias()
    return SQL("DELETE FROM {} AS {}{}{}").format(
        qualified(relation),
        alias,
        where(composer, Scope(relation, alias), statement.where),
        _returning(alias, returning),
    )


def _require_where(command: str, conditions: Sequence[Condition]) -> None:
    # Supabase loads pg-safeupdate for its API: a forgotten filter does not empty a table.
    if not conditions:
        raise StatementRefused("21000", f"{command} requires a WHERE clause")


def _written(relation: Relation, names: Sequence[str]) -> list[TableColumn]:
    for name in names:
        if name not in relation.columns:
            raise UnknownColumn(relation.name, name)
    return [relation.columns[name] for name in dict.fromkeys(names)]


def _values(
    composer: Composer, columns: Sequence[TableColumn], rows: Rows, *, fills_defaults: bool
) -> Composable:
    if not columns:  # as many rows of defaults as there are objects
        return SQL(" SELECT FROM json_array_elements({})").format(_array(composer, rows.json, "json"))
    body = Identifier("body")
    shown = COMMA.join(SQL("{}.{}").format(body, Identifier(column.name)) for column in columns)
    return SQL(" SELECT {} FROM {}").format(
        shown, _recordset(composer, columns, rows, fills_defaults=fills_defaults)
    )


def _recordset(
    composer: Composer, columns: Sequence[TableColumn], rows: Rows, *, fills_defaults: bool
) -> Composable:
    typed = COMMA.join(
        SQL("{} {}").format(Identifier(column.name), trusted(column.plain_type)) for column in columns
    )
    defaults = _defaults(columns) if fills_defaults else []
    if not defaults:
        return SQL("json_to_recordset({}) AS body({})").format(_array(composer, rows.json, "json"), typed)
    filled = SQL(
        "(SELECT jsonb_agg(jsonb_build_object({}) || element) FROM jsonb_array_elements({}) AS _(element))"
    ).format(COMMA.join(defaults), _array(composer, rows.json, "jsonb"))
    return SQL("jsonb_to_recordset({}) AS body({})").format(filled, typed)


def _defaults(columns: Iterable[TableColumn]) -> list[Composable]:
    found: list[Composable] = []
    for column in columns:
        if column.sequence is not None:
            value: Composable = SQL("nextval({}::regclass)").format(Literal(column.sequence))
        elif column.default is not None:
            value = trusted(column.default)
        else:
            continue
        found.append(SQL("{}, {}").format(Literal(column.name), value))
    return found


def _array(composer: Composer, json: str, type_: str) -> Composable:
    return composer.bind(json if json.lstrip().startswith("[") else f"[{json}]", type_)


def _on_conflict(relation: Relation, statement: Insert, columns: Sequence[TableColumn]) -> Composable:
    if statement.duplicates is None:
        return NOTHING
    key = _written(relation, statement.conflict or relation.primary_key)
    if not key:
        return NOTHING
    names = COMMA.join(Identifier(column.name) for column in key)
    if statement.duplicates is Duplicates.IGNORE or not columns:
        return SQL(" ON CONFLICT ({}) DO NOTHING").format(names)
    settings = COMMA.join(SQL("{0} = EXCLUDED.{0}").format(Identifier(column.name)) for column in columns)
    counted = SQL("set_config('agent_worker.updated', ({}::integer + 1)::text, true) <> ''").format(UPDATED)
    return SQL(" ON CONFLICT ({}) DO UPDATE SET {} WHERE {}").format(names, settings, counted)


def _returning(alias: Identifier, names: Collection[str] | None) -> Composable:
    return SQL(" RETURNING {}").format(_names(alias, names))


def _names(alias: Identifier, names: Collection[str] | None) -> Composable:
    if names is None:
        return SQL("{}.*").format(alias)
    if not names:  # a right to read no column is needed
        return SQL("1")
    return COMMA.join(SQL("{}.{}").format(alias, Identifier(name)) for name in sorted(names))
