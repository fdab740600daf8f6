"""Check what a subscriber asks for against the database, before it is put in force."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agent_worker.db.feed.comparing import Comparing
from agent_worker.db.feed.tables import ROLES, Published, Table, Tables
from agent_worker.domain.errors import ValueRefused
from agent_worker.gateway.realtime.binding import Binding, BindingRefused
from agent_worker.gateway.realtime.conditions import Condition, check_term
from agent_worker.gateway.realtime.filters import FilterMalformed, FilterTerm, parse_filter
from agent_worker.gateway.realtime.interest import ANY, Place, Post, Seat

KNOWN_TTL_S = 1.0
"""Longest use of what was looked up: when a gateway starts again, a thousand sockets join at once."""

_EVENTS = frozenset(("INSERT", "UPDATE", "DELETE", ANY))


class Planner:
    """Makes posts of bindings.

    Args:
        tables: What is published.
        comparing: PostgreSQL's rules for values.
    """

    def __init__(self, tables: Tables, comparing: Comparing) -> None:
        self._tables = tables
        self._comparing = comparing
        self._published: list[Published] = []
        self._facts: dict[int, Table | None] = {}
        self._known_until = 0.0

    async def plan(self, seat: Seat, binding: Binding) -> list[tuple[Post, Place]]:
        """Return the posts of a binding and where they belong; more than one for a wildcard with a filter.

        Raises:
            BindingRefused: The database has no such table, column, value or operator; in upstream's words.
            DatabaseUnavailable: Nobody answers.
        """
        terms = _terms(binding)
        named = await self._named(binding)
        if not named or binding.event not in _EVENTS or seat.subscriber.caller.role not in ROLES:
            raise BindingRefused(
                "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given "
                f"connect parameters: [{_described(binding)}]"
            )
        if binding.table in (None, ANY) and not terms:  # tables that are published later belong to it as well
            return [(_post(seat, binding, ()), Place(binding.schema, ANY))]
        return [await self._placed(seat, binding, table, terms) for table in named]

    async def _named(self, binding: Binding) -> list[Published]:
        """Return the tables that a binding covers; what is not known is asked for before it counts as missing."""
        for is_fresh in (False, True):
            if is_fresh or time.monotonic() > self._known_until:
                self._published = await self._tables.published()
                self._facts.clear()
                self._known_until = time.monotonic() + KNOWN_TTL_S
            if named := [table for table in self._published if _covers(binding, table)]:
                return named
        return []

    async def _look_up(self, published: Published) -> Table | None:
        if published.oid not in self._facts:
            self._facts[published.oid] = await self._tables.look_up(
                published.oid, published.schema, published.name
            )
        return self._facts[published.oid]

    async def _placed(
        self, seat: Seat, binding: Binding, published: Published, terms: Sequence[FilterTerm]
    ) -> tuple[Post, Place]:
        place = Place(published.schema, published.name)
        if not terms and binding.select is None:
            return _post(seat, binding, ()), place
        try:
            facts = await self._look_up(published)
            conditions = await self._conditions(seat, binding, facts, terms)
        except ValueRefused as exc:
            raise BindingRefused(
                "Unable to subscribe to changes with given parameters. An exception happened so please check your "
                f"connect parameters: [{_described(binding)}]. Exception: {exc}"
            ) from exc
        # Where rows can be looked up by a value, the post lies under it.
        first = next((one for one in conditions if one.equality is not None), None)
        others = tuple(one for one in conditions if one is not first)
        equality = first.equality if first is not None else None
        return _post(seat, binding, others), Place(place.schema, place.table, equality)

    async def _conditions(
        self, seat: Seat, binding: Binding, facts: Table | None, terms: Sequence[FilterTerm]
    ) -> list[Condition]:
        if facts is None:
            raise ValueRefused("the table is gone")
        readable = facts.readable.get(seat.subscriber.caller.role, frozenset())
        for column in binding.select or ():
            if column not in readable:
                raise ValueRefused(f"invalid column for select {column}")
        return [await check_term(term, facts, readable, self._comparing) for term in terms]


def _terms(binding: Binding) -> tuple[FilterTerm, ...]:
    if binding.select is not None and _is_wildcard(binding):
        raise BindingRefused(
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
        )
    try:
        return parse_filter(binding.filter)
    except FilterMalformed as exc:
        raise BindingRefused(f"Error parsing `filter` params: {exc}") from exc


def _post(seat: Seat, binding: Binding, conditions: tuple[Condition, ...]) -> Post:
    select = frozenset(binding.select) if binding.select is not None else None
    return Post(seat, binding.id, binding.event, conditions, select)


def _is_wildcard(binding: Binding) -> bool:
    return binding.schema == ANY or binding.table in (None, ANY)


def _covers(binding: Binding, table: Published) -> bool:
    return binding.schema in (ANY, table.schema) and binding.table in (None, ANY, table.name)


def _described(binding: Binding) -> str:
    return (
        f"event: {binding.event}, schema: {binding.schema}, table: {binding.table or ANY}, "
        f"filters: {binding.filter or '[]'}, select: {list(binding.select) if binding.select else 'nil'}"
    )
