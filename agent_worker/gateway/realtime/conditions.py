"""Decide whether a changed row passes a filter, as PostgreSQL would.

Most of it is done here: equality of types whose equal values have one text, and order of numbers, times and UUIDs. The rest
(collations, patterns, types of their own) is PostgreSQL's to say, once for a batch of changes.
"""

from __future__ import annotations

import enum
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from agent_worker.db.feed.comparing import SYMBOLS, Comparing, Comparison
from agent_worker.db.feed.pgoutput import Row
from agent_worker.db.feed.tables import Table
from agent_worker.db.feed.values import Type, parse_array
from agent_worker.domain.errors import ValueRefused
from agent_worker.gateway.realtime.filters import FilterTerm

MOST_VALUES = 100
"""Values of one `in`, as upstream has it."""

_BOOL = 16
_NUMBERS = frozenset((20, 21, 23, 700, 701, 1700))
_TIMES = frozenset((1082, 1114, 1184))  # date timestamp timestamptz
_UUID = 2950
# bool bytea int8 int2 int4 text oid varchar date time timestamp timestamptz uuid: equal values have the same text.
_ONE_TEXT = frozenset((_BOOL, 17, 20, 21, 23, 25, 26, 1043, 1083, _UUID)) | _TIMES

_FINITE = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_USUAL_TIME = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?(\+00)?)?")

# Texts that are what PostgreSQL would write, so that a join need not ask it.
_PLAIN = {
    21: re.compile(r"0|-?[1-9]\d{0,3}"),
    23: re.compile(r"0|-?[1-9]\d{0,8}"),
    20: re.compile(r"0|-?[1-9]\d{0,17}"),
    _UUID: re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    25: re.compile(r".*", re.DOTALL),
}

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "isdistinct": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


class Verdict(enum.Enum):
    """Whether a row passes."""

    YES = "yes"
    NO = "no"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Condition:
    """One term of a filter, checked against the table.

    Attributes:
        term: As it was written.
        type_: Of the column, when it was checked.
        value: Right side as PostgreSQL writes it.
        values: For `in`: the elements as PostgreSQL writes them.
    """

    term: FilterTerm
    type_: Type
    value: str
    values: frozenset[str | None] = frozenset()

    @property
    def comparison(self) -> Comparison:
        """What to ask PostgreSQL, where only it can tell."""
        return Comparison(self.type_, self.term.operator, self.value)

    @property
    def equality(self) -> tuple[str, str] | None:
        """(column, text) where exactly the rows with that text pass, so that they can be looked up."""
        if self.term.operator == "eq" and not self.term.is_negated and self.type_.base_oid in _ONE_TEXT:
            return self.term.column, self.value
        return None

    def judge(self, row: Row) -> Verdict:
        """Decide about a row; a column that is not in it lets nothing through."""
        if self.term.column not in row:
            return Verdict.NO
        answer = self._answer(row[self.term.column])
        return answer if isinstance(answer, Verdict) else self.verdict(answer)

    def verdict(self, answer: bool | None) -> Verdict:  # noqa: FBT001 - SQL's third value is what matters
        """Apply `not.` to SQL's answer: what is unknown stays so, and lets nothing through."""
        return Verdict.YES if answer is not None and answer != self.term.is_negated else Verdict.NO

    def _answer(self, text: str | None) -> bool | Verdict | None:
        match self.term.operator:
            case "is":
                return text == {"true": "t", "false": "f"}.get(self.value)
            case "in":
                return self._is_in(text)
            case name if text is None:
                return True if name == "isdistinct" else None
            case name if name in _ORDER:
                return self._compare(name, text)
            case _:
                return Verdict.ASK

    def _is_in(self, text: str | None) -> bool | Verdict | None:
        if text is None:
            return False if self.value == "{}" else None
        if self.type_.base_oid not in _ONE_TEXT:
            return Verdict.ASK
        if text in self.values:
            return True
        return None if None in self.values else False

    def _compare(self, name: str, text: str) -> bool | Verdict:
        base = self.type_.base_oid
        compare = _ORDER[name]
        if base in _NUMBERS:
            if _FINITE.fullmatch(text) and _FINITE.fullmatch(self.value):
                return compare(Decimal(text), Decimal(self.value))
            return Verdict.ASK
        if base in _ONE_TEXT and name in {"eq", "neq", "isdistinct"}:
            return compare(text, self.value)
        if base in _TIMES and _USUAL_TIME.fullmatch(text) and _USUAL_TIME.fullmatch(self.value):
            return compare(text.removesuffix("+00"), self.value.removesuffix("+00"))
        if base in {_BOOL, _UUID}:
            return compare(text, self.value)
        return Verdict.ASK


async def check_term(
    term: FilterTerm, table: Table, readable: Mapping[str, object] | frozenset[str], comparing: Comparing
) -> Condition:
    """Check a term against a table.

    Args:
        term: As it was written.
        table: Its table.
        readable: Columns that the caller's role may read.
        comparing: PostgreSQL's rules.

    Raises:
        ValueRefused: There is no such column, or no such value or operator for its type; in upstream's words.
        DatabaseUnavailable: Nobody answers.
    """
    type_ = table.types.get(term.column)
    if type_ is None or term.column not in readable:
        raise ValueRefused(f"invalid column for filter {term.column}")
    if term.operator == "is":
        return _check_is(term, type_)
    if term.operator not in SYMBOLS:
        raise ValueRefused(f"unsupported operator {term.operator}")
    plain = _PLAIN.get(type_.oid)
    if plain is not None and term.operator in _ORDER and plain.fullmatch(term.value):
        return Condition(term, type_, term.value)
    try:
        value = await comparing.canonical(Comparison(type_, term.operator, term.value))
    except ValueRefused as exc:
        raise ValueRefused(
            f"operator {term.operator} is not supported on column {term.column} of type {type_.sql_name}: {exc}"
        ) from exc
    if term.operator != "in":
        return Condition(term, type_, value)
    elements = parse_array(value)
    if len(elements) > MOST_VALUES:
        raise ValueRefused(f"too many values for `in` filter. Maximum {MOST_VALUES}")
    values = frozenset(element for element in elements if not isinstance(element, list))
    return Condition(term, type_, value, values)


def _check_is(term: FilterTerm, type_: Type) -> Condition:
    if term.value not in {"null", "true", "false", "unknown"}:
        raise ValueRefused("invalid value for is filter: must be null, true, false, or unknown")
    if term.value != "null" and type_.base_oid != _BOOL:
        raise ValueRefused(f"is {term.value} filter requires a boolean column, got {type_.sql_name}")
    return Condition(term, type_, term.value)
