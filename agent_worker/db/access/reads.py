"""A selection as SQL: columns, related rows as JSON, conditions, order and limits.

Related rows come by lateral joins, one for each embedded relation, so that each has its own conditions, order and
limit, and PostgreSQL's policies judge every one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from psycopg.sql import SQL, Composable, Identifier

from agent_worker.db.access.catalog import Relation
from agent_worker.db.access.composer import AND, COMMA, NOTHING, Composer, Joined, Scope, qualified
from agent_worker.db.access.conditions import condition, joined_names
from agent_worker.db.access.query import Column, Embed, Order, Selection
from agent_worker.db.access.refusals import NotEmbedded, NotSupported, OrderNotToOne
from agent_worker.db.access.relationships import Link, find

_SPACE = SQL(" ")


def rows_of(composer: Composer, relation: Relation, origin: Composable, selection: Selection) -> Composable:
    """Return a query for the rows of a selection.

    Args:
        composer: Collects the values.
        relation: Where names are looked up.
        origin: What stands after FROM: the table, or a part of the statement with its columns.
        selection: What is wanted.

    Raises:
        AccessRefused: A name is unknown, or means several things.
    """
    return _query(composer, Scope(relation, composer.alias()), origin, selection, NOTHING)


def count_of(composer: Composer, relation: Relation, origin: Composable, selection: Selection) -> Composable:
    """Return a query with one row for each row of a selection, whatever its limits, and no columns."""
    asked_for = joined_names(
        selection.where, Scope(relation, composer.alias(), _placeholders(selection.embeds))
    )
    embeds = tuple(
        replace(embed, selection=replace(embed.selection, order=()), is_spread=False)
        for embed in selection.embeds
        if embed.is_inner or embed.shown_as in asked_for
    )
    bare = Selection(columns=(), embeds=embeds, where=selection.where)
    alias = composer.alias()
    scope, joins, _ = _scope(composer, Scope(relation, alias), bare)
    return SQL("SELECT FROM {} AS {}{}{}").format(
        origin, alias, joins, _where(composer, scope, bare, NOTHING)
    )


def columns_needed(composer: Composer, relation: Relation, selection: Selection) -> frozenset[str] | None:
    """Return the columns that a selection reads of its own relation; None for all of them."""
    found: set[str] = set()
    for column in selection.columns:
        if column.field.name == "*":
            return None
        found.add(column.field.name)
    for embed in selection.embeds:
        found.update(here for here, _ in find(composer.catalog, relation, embed).columns)
    found.update(order.field.name for order in selection.order if order.relation is None)
    return frozenset(found)


def _query(
    composer: Composer, bare: Scope, origin: Composable, selection: Selection, link: Composable
) -> Composable:
    scope, joins, shown = _scope(composer, bare, selection)
    items = [_item(composer, scope, column) for column in selection.columns] + shown
    parts = (
        SQL("SELECT {} FROM {} AS {}").format(COMMA.join(items), origin, bare.alias),
        joins,
        _where(composer, scope, selection, link),
        _order(composer, scope, selection.order),
        limits(composer, selection),
    )
    return NOTHING.join(parts)


def _scope(
    composer: Composer, bare: Scope, selection: Selection
) -> tuple[Scope, Composable, list[Composable]]:
    """Return the scope with its related rows, their joins, and what they show."""
    joined: dict[str, Joined] = {}
    joins: list[Composable] = []
    shown: list[Composable] = []
    for embed in selection.embeds:
        link = find(composer.catalog, bare.relation, embed)
        name = composer.alias()
        joined[embed.shown_as] = Joined(name, link.is_to_one)
        joins.append(_join(composer, bare, embed, link, name))
        if embed.selection.columns or embed.selection.embeds:
            shown.append(_shown(embed, link, name))
    return Scope(bare.relation, bare.alias, joined), NOTHING.join(joins), shown


def _join(composer: Composer, parent: Scope, embed: Embed, link: Link, name: Identifier) -> Composable:
    child = Scope(link.target, composer.alias())
    equal = AND.join(
        SQL("{} = {}").format(child.reference(there), parent.reference(here)) for here, there in link.columns
    )
    rows = _query(composer, child, qualified(link.target), embed.selection, equal)
    kind = SQL(" INNER JOIN LATERAL" if embed.is_inner else " LEFT JOIN LATERAL")
    if link.is_to_one:
        return SQL("{} ({}) AS {} ON true").format(kind, rows, name)
    every = composer.alias()
    return SQL("{} (SELECT json_agg({}) AS rows FROM ({}) AS {}) AS {} ON {}").format(
        kind,
        every,
        rows,
        every,
        name,
        SQL("{}.rows IS NOT NULL").format(name) if embed.is_inner else SQL("true"),
    )


def _shown(embed: Embed, link: Link, name: Identifier) -> Composable:
    if embed.is_spread:
        if not link.is_to_one:
            raise NotSupported("Spreading a relation of which a row may have several")
        return SQL("{}.*").format(name)
    rows = SQL("row_to_json({}.*)" if link.is_to_one else "coalesce({}.rows, '[]')").format(name)
    return SQL("{} AS {}").format(rows, Identifier(embed.shown_as))


def _item(composer: Composer, scope: Scope, column: Column) -> Composable:
    field = column.field
    if field.name == "*":
        return SQL("{}.*").format(scope.alias)
    value = composer.place(scope, field.name, field.path)
    if column.cast is not None:
        value = SQL("CAST({} AS {})").format(value, composer.type_named(column.cast))
    names = [step.key for step in field.path if isinstance(step.key, str)]
    name = column.alias or (names[-1] if names else field.name)
    return SQL("{} AS {}").format(value, Identifier(name))


def _where(composer: Composer, scope: Scope, selection: Selection, link: Composable) -> Composable:
    parts = [condition(composer, scope, each) for each in selection.where]
    if link is not NOTHING:
        parts.append(link)
    return SQL(" WHERE {}").format(AND.join(parts)) if parts else NOTHING


def _order(composer: Composer, scope: Scope, orders: tuple[Order, ...]) -> Composable:
    terms = [_SPACE.join(_term(composer, scope, order)) for order in orders]
    return SQL(" ORDER BY {}").format(COMMA.join(terms)) if terms else NOTHING


def _term(composer: Composer, scope: Scope, order: Order) -> Iterator[Composable]:
    if order.relation is None:
        yield composer.place(scope, order.field.name, order.field.path)
    else:
        yield _related(composer, scope, order, order.relation)
    if order.descending is not None:
        yield SQL("DESC" if order.descending else "ASC")
    if order.nulls is not None:
        yield SQL("NULLS FIRST" if order.nulls == "first" else "NULLS LAST")


def _related(composer: Composer, scope: Scope, order: Order, relation: str) -> Composable:
    joined = scope.joined.get(relation)
    if joined is None:
        raise NotEmbedded(relation)
    if not joined.is_to_one:
        raise OrderNotToOne(scope.relation.name, relation)
    column = SQL("{}.{}").format(joined.alias, Identifier(order.field.name))
    return composer.within(column, order.field.path)


def limits(composer: Composer, selection: Selection) -> Composable:
    """Return the LIMIT and the OFFSET of a selection."""
    parts: list[Composable] = []
    limit = composer.limit(selection.limit)
    if limit is not None:
        parts.append(SQL(" LIMIT {}").format(composer.bind(str(limit), "bigint")))
    if selection.offset:
        parts.append(SQL(" OFFSET {}").format(composer.bind(str(selection.offset), "bigint")))
    return NOTHING.join(parts)


def _placeholders(embeds: tuple[Embed, ...]) -> dict[str, Joined]:
    return {embed.shown_as: Joined(Identifier(embed.shown_as), is_to_one=True) for embed in embeds}
