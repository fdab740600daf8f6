"""PostgREST's query grammar: select lists, filters, orders.

Source: https://docs.postgrest.org/en/stable/references/api/tables_views.html and resource_embedding.html. Each function
reads one whole text; what does not fit is a `SyntaxProblem` with its column.
"""

from __future__ import annotations

import re
from typing import Literal

from agent_worker.db.access.query import (
    Column,
    Condition,
    Embed,
    Field,
    Filter,
    Group,
    Operator,
    Order,
    Selection,
    Step,
)
from agent_worker.gateway.rest.scanner import Scanner, SyntaxProblem

_INDEX = re.compile(r"-?[0-9]+(?=->|::|[.,)]|$)")
_JOINT = re.compile(r"(not\.)?(and|or)[ \t]*(?=\()")
_QUANTIFIED = {
    Operator.EQ,
    Operator.GT,
    Operator.GTE,
    Operator.LT,
    Operator.LTE,
    Operator.LIKE,
    Operator.ILIKE,
    Operator.MATCH,
    Operator.IMATCH,
}
_SEARCHES = {Operator.FTS, Operator.PLFTS, Operator.PHFTS, Operator.WFTS}
_BY_LENGTH = sorted(Operator, key=len, reverse=True)
_AN_OPERATOR = '"not" or operator (eq, gt, ...)'
_IS = ("not_null", "null", "true", "false", "unknown")
_AGGREGATES = ("sum", "avg", "count", "max", "min")
_LARGEST_INDEX = 2**31 - 1


class AggregateUsed(Exception):
    """A select list aggregates, which is known and not allowed."""


def selection(text: str) -> Selection:
    """Read a select list into a selection without conditions.

    Raises:
        SyntaxProblem: It is none.
        AggregateUsed: It aggregates.
    """
    scanner = Scanner(text)
    found = _items(scanner)
    scanner.end()
    return found


def filter_of(place: Field, text: str) -> Filter:
    """Read what follows `column=`, such as `not.in.(1,2)`.

    Raises:
        SyntaxProblem: It is no operator with its value.
    """
    scanner = Scanner(text)
    found = _comparison(scanner, place, is_nested=False)
    scanner.end()
    return found


def group_of(joint: Literal["and", "or"], text: str, *, negated: bool) -> Group:
    """Read what follows `or=` or `and=`: conditions in parentheses.

    Raises:
        SyntaxProblem: It is none.
    """
    scanner = Scanner(text)
    members = _members(scanner)
    scanner.end()
    return Group(joint, members, negated)


def orders(text: str) -> tuple[Order, ...]:
    """Read an order, such as `created_at.desc.nullslast,id`.

    Raises:
        SyntaxProblem: It is none.
    """
    scanner = Scanner(text)
    found = [_order(scanner)]
    while scanner.takes(","):
        found.append(_order(scanner))
    scanner.end()
    return tuple(found)


def names(text: str) -> tuple[str, ...]:
    """Read a list of names, such as that of `columns=` and `on_conflict=`.

    Raises:
        SyntaxProblem: It is none.
    """
    scanner = Scanner(text)
    found = [scanner.name()]
    scanner.skip_blanks()
    while scanner.takes(","):
        scanner.skip_blanks()
        found.append(scanner.name())
        scanner.skip_blanks()
    scanner.end()
    return tuple(found)


def place(text: str) -> tuple[tuple[str, ...], Field]:
    """Read the name of a parameter: relations before a dot, a column, a path within it.

    Raises:
        SyntaxProblem: It is none.
    """
    scanner = Scanner(text)
    found = [scanner.name()]
    while scanner.takes("."):
        found.append(scanner.name())
    path = _path(scanner)
    scanner.end()
    return tuple(found[:-1]), Field(found[-1], path)


def _items(scanner: Scanner) -> Selection:
    columns: list[Column] = []
    embeds: list[Embed] = []
    while not scanner.is_done and not scanner.sees(")"):
        item = _item(scanner)
        if isinstance(item, Embed):
            embeds.append(item)
        else:
            columns.append(item)
        if not scanner.takes(","):
            break
        if scanner.is_done or scanner.sees(")"):
            raise scanner.problem("field name (* or [a..z0..9_$])")
    return Selection(columns=tuple(columns), embeds=tuple(embeds))


def _item(scanner: Scanner) -> Column | Embed:
    scanner.skip_blanks()
    is_spread = scanner.takes("...")
    alias = None if is_spread else _alias(scanner)
    if scanner.takes("*"):
        scanner.skip_blanks()
        return Column(Field("*"))
    name = scanner.name()
    if scanner.sees("!") or scanner.sees("("):
        if name in _AGGREGATES and scanner.sees("()"):
            raise AggregateUsed
        found: Column | Embed = _embed(scanner, name, alias, is_spread=is_spread)
    elif is_spread:
        raise scanner.problem('"("')
    else:
        found = _column(scanner, name, alias)
    scanner.skip_blanks()
    if not (scanner.is_done or scanner.sees(",") or scanner.sees(")")):
        raise scanner.problem('"->>", "->", "::", ")", "," or end of input')
    return found


def _alias(scanner: Scanner) -> str | None:
    start = scanner.at
    try:
        name = scanner.name()
    except SyntaxProblem:
        scanner.at = start
        return None
    if scanner.sees(":") and not scanner.sees("::"):
        scanner.expect(":")
        return name
    scanner.at = start
    return None


def _column(scanner: Scanner, name: str, alias: str | None) -> Column:
    path = _path(scanner)
    cast = scanner.identifier() if scanner.takes("::") else None
    if scanner.takes("."):
        aggregate = next((each for each in _AGGREGATES if scanner.takes(f"{each}()")), None)
        if aggregate is None:
            raise scanner.problem('"sum", "avg", "count", "max" or "min"')
        raise AggregateUsed
    return Column(Field(name, path), alias, cast)


def _embed(scanner: Scanner, name: str, alias: str | None, *, is_spread: bool) -> Embed:
    hint, is_inner = None, False
    while scanner.takes("!"):
        given = scanner.name()
        if given == "inner":
            is_inner = True
        elif given != "left":
            hint = given
    scanner.expect("(")
    inner = scanner.nested(lambda: _items(scanner))
    scanner.expect(")")
    return Embed(name, inner, alias, hint, is_inner, is_spread)


def _path(scanner: Scanner) -> tuple[Step, ...]:
    steps: list[Step] = []
    while scanner.sees("->"):
        scanner.expect("->")
        as_text = scanner.takes(">")
        number = _INDEX.match(scanner.text, scanner.at)
        if number is None:
            steps.append(Step(scanner.key(), as_text))
            continue
        if abs(int(number[0][:20])) > _LARGEST_INDEX:
            raise scanner.problem("an index of at most 2147483647")
        steps.append(Step(int(number[0]), as_text))
        scanner.at = number.end()
    return tuple(steps)


def _comparison(scanner: Scanner, place: Field, *, is_nested: bool) -> Filter:
    negated = scanner.takes("not.")
    start = scanner.at
    operator = next((each for each in _BY_LENGTH if scanner.takes(each)), None)
    if operator is None:
        raise scanner.problem("operator (eq, gt, ...)" if negated else _AN_OPERATOR)
    quantifier, language = _modifiers(scanner, operator)
    if not scanner.takes("."):
        scanner.at = start
        raise scanner.problem("operator (eq, gt, ...)" if negated else _AN_OPERATOR)
    value: str | tuple[str, ...]
    if operator is Operator.IN:
        value = _list(scanner)
    elif operator is Operator.IS:
        value = _is(scanner)
    else:
        value = _nested_value(scanner) if is_nested else scanner.until("")
    return Filter(place, operator, value, negated, quantifier, language)


def _modifiers(scanner: Scanner, operator: Operator) -> tuple[Literal["any", "all"] | None, str | None]:
    if operator in _QUANTIFIED and scanner.takes("(any)"):
        return "any", None
    if operator in _QUANTIFIED and scanner.takes("(all)"):
        return "all", None
    if operator in _SEARCHES and scanner.takes("("):
        language = scanner.identifier()
        scanner.expect(")")
        return None, language
    return None, None


def _list(scanner: Scanner) -> tuple[str, ...]:
    scanner.skip_blanks()
    scanner.expect("(")
    scanner.skip_blanks()
    if scanner.takes(")"):
        return ()
    found = [_element(scanner)]
    while scanner.takes(","):
        found.append(_element(scanner))
    scanner.expect(")", '"," or ")"')
    scanner.skip_blanks()
    return tuple(found)


def _element(scanner: Scanner) -> str:
    """Read a value of a list: in quotes, when they end where the value does; or as it is."""
    start = scanner.at
    if scanner.sees('"'):
        try:
            found = scanner.quoted()
        except SyntaxProblem:
            scanner.at = start
        else:
            if scanner.is_done or scanner.sees(",") or scanner.sees(")"):
                return found
            scanner.at = start
    return scanner.until(",)")


def _is(scanner: Scanner) -> str:
    left = scanner.rest.lower()
    found = next((each for each in _IS if left.startswith(each)), None)
    if found is None:
        raise scanner.problem("isVal: (null, not_null, true, false, unknown)")
    scanner.at += len(found)
    return found


def _nested_value(scanner: Scanner) -> str:
    """Read a value within parentheses; braces of an array protect the commas in it."""
    if scanner.sees("{"):
        end = scanner.text.find("}", scanner.at)
        array = scanner.text[scanner.at : end + 1]
        if end >= 0 and "{" not in array[1:]:
            scanner.at = end + 1
            return array
    return _element(scanner)


def _members(scanner: Scanner) -> tuple[Condition, ...]:
    scanner.skip_blanks()
    scanner.expect("(")
    found = [_member(scanner)]
    while scanner.takes(","):
        found.append(_member(scanner))
    scanner.expect(")", '"," or ")"')
    scanner.skip_blanks()
    return tuple(found)


def _member(scanner: Scanner) -> Condition:
    scanner.skip_blanks()
    joint = _JOINT.match(scanner.text, scanner.at)
    if joint is not None:
        scanner.at = joint.end()
        members = scanner.nested(lambda: _members(scanner))
        return Group("and" if joint[2] == "and" else "or", members, negated=bool(joint[1]))
    name = scanner.name()
    field = Field(name, _path(scanner))
    scanner.skip_blanks()
    scanner.expect(".", "delimiter (.)")
    found = _comparison(scanner, field, is_nested=True)
    scanner.skip_blanks()
    return found


def _order(scanner: Scanner) -> Order:
    scanner.skip_blanks()
    name, relation = scanner.name(), None
    if scanner.takes("("):
        relation, name = name, scanner.name()
    field = Field(name, _path(scanner))
    if relation is not None:
        scanner.expect(")")
    scanner.skip_blanks()
    descending: bool | None = None
    if scanner.takes(".asc"):
        descending = False
    elif scanner.takes(".desc"):
        descending = True
    nulls: Literal["first", "last"] | None = None
    if scanner.takes(".nullsfirst"):
        nulls = "first"
    elif scanner.takes(".nullslast"):
        nulls = "last"
    scanner.skip_blanks()
    if not (scanner.is_done or scanner.sees(",")):
        raise scanner.problem('"asc", "desc", "nullsfirst", "nullslast", "," or end of input')
    return Order(field, descending, nulls, relation)
