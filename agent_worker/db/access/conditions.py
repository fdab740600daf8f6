"""Filters as SQL. Values are cast to the type of the column, so that an index serves and a wrong value is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg.sql import SQL, Composable

from agent_worker.db.access.composer import AND, COMMA, NOTHING, OR, Composer, Joined, Scope
from agent_worker.db.access.query import Condition, Filter, Group, Operator
from agent_worker.db.access.refusals import BadEmbedFilter, StatementRefused

_INFIX: Mapping[Operator, SQL] = {
    Operator.EQ: SQL("="),
    Operator.NEQ: SQL("<>"),
    Operator.GT: SQL(">"),
    Operator.GTE: SQL(">="),
    Operator.LT: SQL("<"),
    Operator.LTE: SQL("<="),
    Operator.LIKE: SQL("LIKE"),
    Operator.ILIKE: SQL("ILIKE"),
    Operator.MATCH: SQL("~"),
    Operator.IMATCH: SQL("~*"),
    Operator.ISDISTINCT: SQL("IS DISTINCT FROM"),
    Operator.CS: SQL("@>"),
    Operator.CD: SQL("<@"),
    Operator.OV: SQL("&&"),
    Operator.SL: SQL("<<"),
    Operator.SR: SQL(">>"),
    Operator.NXL: SQL("&>"),
    Operator.NXR: SQL("&<"),
    Operator.ADJ: SQL("-|-"),
}
_PATTERNS = {Operator.LIKE, Operator.ILIKE, Operator.MATCH, Operator.IMATCH}
_WILD = {Operator.LIKE, Operator.ILIKE}
_IS: Mapping[str, SQL] = {
    "null": SQL("NULL"),
    "not_null": SQL("NOT NULL"),
    "true": SQL("TRUE"),
    "false": SQL("FALSE"),
    "unknown": SQL("UNKNOWN"),
}
_SEARCHES: Mapping[Operator, SQL] = {
    Operator.FTS: SQL("to_tsquery"),
    Operator.PLFTS: SQL("plainto_tsquery"),
    Operator.PHFTS: SQL("phraseto_tsquery"),
    Operator.WFTS: SQL("websearch_to_tsquery"),
}


def where(composer: Composer, scope: Scope, conditions: Iterable[Condition]) -> Composable:
    """Return a WHERE clause; nothing for no condition."""
    parts = [condition(composer, scope, each) for each in conditions]
    return SQL(" WHERE {}").format(AND.join(parts)) if parts else NOTHING


def condition(composer: Composer, scope: Scope, wanted: Condition) -> Composable:
    """Return one condition.

    Raises:
        StatementRefused: A column does not exist, or a value can never be stored.
        BadEmbedFilter: A related row is compared with something other than null.
    """
    if isinstance(wanted, Group):
        return _group(composer, scope, wanted)
    found = _comparison(composer, scope, wanted)
    return SQL("NOT {}").format(found) if wanted.negated else found


def joined_names(conditions: Iterable[Condition], scope: Scope) -> set[str]:
    """Return the names of related rows that conditions ask for."""
    found: set[str] = set()
    for each in conditions:
        if isinstance(each, Group):
            found |= joined_names(each.members, scope)
        elif each.field.name in scope.joined and each.field.name not in scope.relation.columns:
            found.add(each.field.name)
    return found


def _group(composer: Composer, scope: Scope, group: Group) -> Composable:
    parts = [condition(composer, scope, member) for member in group.members]
    joint = AND if group.joint == "and" else OR
    return SQL("NOT ({})" if group.negated else "({})").format(joint.join(parts))


def _comparison(composer: Composer, scope: Scope, wanted: Filter) -> Composable:
    name, path = wanted.field.name, wanted.field.path
    joined = scope.joined.get(name)
    if joined is not None and name not in scope.relation.columns:
        return _absence(wanted, joined)
    left = composer.place(scope, name, path)
    type_ = composer.type_at(scope, name, path)
    if wanted.operator is Operator.IS:
        return SQL("({} IS {})").format(left, _IS[str(wanted.value)])
    if wanted.operator in _SEARCHES:
        return _search(composer, left, type_, wanted)
    if wanted.operator is Operator.IN:
        return _membership(composer, left, type_, wanted.value)
    if wanted.operator in _PATTERNS:
        # PostgreSQL says that there is no such operator where the column is no text.
        type_ = "text"
    if wanted.quantifier is not None:
        return _quantified(composer, left, type_, wanted)
    return SQL("({} {} {})").format(
        left, _INFIX[wanted.operator], composer.bind(_pattern(wanted.operator, str(wanted.value)), type_)
    )


def _absence(wanted: Filter, joined: Joined) -> Composable:
    if wanted.operator is not Operator.IS or wanted.value not in {"null", "not_null"} or wanted.field.path:
        raise BadEmbedFilter(wanted.field.name)
    # A row whose columns are all null is a row nevertheless.
    row = (
        SQL("({} IS DISTINCT FROM NULL)" if wanted.value == "not_null" else "({} IS NOT DISTINCT FROM NULL)")
        if joined.is_to_one
        else SQL("({}.rows IS NOT NULL)" if wanted.value == "not_null" else "({}.rows IS NULL)")
    )
    return row.format(joined.alias)


def _search(composer: Composer, left: Composable, type_: str, wanted: Filter) -> Composable:
    def language() -> Composable:
        if wanted.language is None:
            return NOTHING
        return SQL("{}, ").format(composer.bind(wanted.language, "regconfig"))

    document = left if type_ == "tsvector" else SQL("to_tsvector({}{})").format(language(), left)
    words = composer.bind(str(wanted.value), "text")
    return SQL("({} @@ {}({}{}))").format(document, _SEARCHES[wanted.operator], language(), words)


def _membership(
    composer: Composer, left: Composable, type_: str, values: str | tuple[str, ...]
) -> Composable:
    if not values:
        return SQL("({} IS NULL AND false)").format(left)
    if type_.endswith("]"):  # an array of arrays would be one array to PostgreSQL
        return SQL("({} IN ({}))").format(left, COMMA.join(composer.bind(value, type_) for value in values))
    return SQL("({} = ANY ({}))").format(left, composer.bind(array_literal(values), f"{type_}[]"))


def _quantified(composer: Composer, left: Composable, type_: str, wanted: Filter) -> Composable:
    if type_.endswith("]"):
        raise StatementRefused("42883", f"operator does not exist: {type_} {wanted.operator} {type_}[]")
    value = array_literal(wanted.value) if isinstance(wanted.value, tuple) else wanted.value
    bound = composer.bind(_pattern(wanted.operator, value), f"{type_}[]")
    quantifier = SQL("ANY" if wanted.quantifier == "any" else "ALL")
    return SQL("({} {} {} ({}))").format(left, _INFIX[wanted.operator], quantifier, bound)


def _pattern(operator: Operator, value: str) -> str:
    return value.replace("*", "%") if operator in _WILD else value


def array_literal(values: Iterable[str]) -> str:
    """Return text that PostgreSQL reads as an array of these texts."""
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
