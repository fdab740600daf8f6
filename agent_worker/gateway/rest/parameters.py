"""A query string as the parts of a statement.

`select`, `columns` and `on_conflict` stand alone; `order`, `limit`, `offset`, `and` and `or` may have a path of embedded
relations before them; every other parameter is a filter, whose path ends with a column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import parse_qsl

from agent_worker.db.access.query import Condition, Selection
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.rest import errors, grammar
from agent_worker.gateway.rest.scanner import SyntaxProblem

Item = TypeVar("Item")

_ALONE = {"select", "columns", "on_conflict"}
_LAST = {"order", "limit", "offset", "and", "or"}
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a query string says.

    Attributes:
        selection: The select list with its orders, limits, and the conditions on embedded relations; `where` are those
            on the table itself.
        columns: What `columns=` names; None without it.
        conflict: What `on_conflict=` names.
        arguments: Of a function: parameters that are no filters, by name; several values where it is repeated.
    """

    selection: Selection
    columns: tuple[str, ...] | None = None
    conflict: tuple[str, ...] = ()
    arguments: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)

    @property
    def where(self) -> tuple[Condition, ...]:
        """Conditions on the table itself."""
        return self.selection.where


def parameters(query: str, *, of_call: bool = False) -> Parameters:
    """Read a query string.

    Args:
        query: As it stands in the URL, without the question mark.
        of_call: Whether a parameter that is no filter is an argument.

    Raises:
        GatewayError: It does not fit the grammar (PGRST100), names a relation that is not embedded (PGRST108), or asks for
            fewer than no rows (PGRST103).
    """
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
    alone = dict(reversed([(name, value) for name, value in pairs if name in _ALONE]))
    selection = _parsed("select parameter", grammar.selection, alone.get("select", "*"))
    arguments: dict[str, str | tuple[str, ...]] = {}
    for name, value in pairs:
        if name in _ALONE:
            continue
        if of_call and _is_argument(name, value):
            _add(arguments, name, value)
        else:
            selection = _with(selection, name, value)
    columns, conflict = alone.get("columns"), alone.get("on_conflict")
    return Parameters(
        selection,
        None if columns is None else _parsed("columns parameter", grammar.names, columns),
        () if conflict is None else _parsed("on_conflict parameter", grammar.names, conflict),
        arguments,
    )


def _with(selection: Selection, name: str, value: str) -> Selection:
    head, _, last = name.rpartition(".")
    if last not in _LAST:
        path, field_ = _parsed("tree path", grammar.place, name)
        condition = _parsed("filter", lambda text: grammar.filter_of(field_, text), value)
        return _at(selection, path, lambda own: replace(own, where=(*own.where, condition)))
    steps, _ = _parsed("tree path", grammar.place, name) if head else ((), None)
    match last:
        case "order":
            terms = _parsed("order", grammar.orders, value)
            return _at(selection, steps, lambda own: replace(own, order=own.order + terms))
        case "limit":
            limit = _number(value)
            if limit is not None and limit < 0:
                raise errors.range_refused("Limit should be greater than or equal to zero.")
            return _at(selection, steps, lambda own: replace(own, limit=limit))
        case "offset":
            offset = _number(value) or 0
            return _at(selection, steps, lambda own: replace(own, offset=offset))
    path = tuple(step for step in steps if step != "not")
    group = _parsed(
        "logic tree",
        lambda text: grammar.group_of("and" if last == "and" else "or", text, negated="not" in steps),
        value,
    )
    return _at(selection, path, lambda own: replace(own, where=(*own.where, group)))


def _at(selection: Selection, path: tuple[str, ...], change: Callable[[Selection], Selection]) -> Selection:
    """Return the selection with a change at a path of embedded relations."""
    if not path:
        return change(selection)
    if not any(embed.shown_as == path[0] for embed in selection.embeds):
        raise errors.not_embedded(path[0])
    embeds = tuple(
        replace(embed, selection=_at(embed.selection, path[1:], change))
        if embed.shown_as == path[0]
        else embed
        for embed in selection.embeds
    )
    return replace(selection, embeds=embeds)


def _is_argument(name: str, value: str) -> bool:
    if name.rpartition(".")[2] in _LAST:
        return False
    try:
        _, field_ = grammar.place(name)
        grammar.filter_of(field_, value)
    except SyntaxProblem:
        return True
    return False


def _add(arguments: dict[str, str | tuple[str, ...]], name: str, value: str) -> None:
    before = arguments.get(name)
    if before is None:
        arguments[name] = value
    else:
        arguments[name] = (*((before,) if isinstance(before, str) else before), value)


def _number(text: str) -> int | None:
    """Read a whole number; None for what is none, which PostgREST ignores."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits[:20])
    return min(number, _LARGEST) * (-1 if text.startswith("-") else 1)


def _parsed(what: str, read: Callable[[str], Item], text: str) -> Item:
    try:
        return read(text)
    except SyntaxProblem as exc:
        raise errors.unreadable(what, text, exc) from None
    except grammar.AggregateUsed:
        raise GatewayError("Use of aggregate functions is not allowed", status=400, code="PGRST123") from None
