"""A function call as SQL: arguments by name, cast to the types that the function declares."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg.sql import SQL, Composable, Identifier

from agent_worker.db.access.catalog import Argument, Function
from agent_worker.db.access.composer import COMMA, NOTHING, Composer, trusted
from agent_worker.db.access.conditions import array_literal
from agent_worker.db.access.query import Call

VALUE = Identifier("value")
"""The column that holds what a function returns that has no columns."""


def call(composer: Composer, function: Function, statement: Call) -> Composable:
    """Return a query for what a function returns: its columns, or one column `value`."""
    source, arguments = _arguments(composer, function, statement)
    name = Identifier(function.schema, function.name)
    if function.returns is None:
        rest = SQL(" FROM {}").format(source) if source is not NOTHING else NOTHING
        return SQL("SELECT {}({}) AS {}{}").format(name, arguments, VALUE, rest)
    comma = COMMA if source is not NOTHING else NOTHING
    return SQL("SELECT result.* FROM {}{}{}({}) AS result").format(source, comma, name, arguments)


def _arguments(composer: Composer, function: Function, statement: Call) -> tuple[Composable, Composable]:
    """Return what arguments are taken from, and the arguments."""
    given = [each for each in function.arguments if each.name and each.name in statement.names]
    if function.takes_body and statement.body is not None:
        return NOTHING, composer.bind(statement.body, function.arguments[0].type)
    if not given:
        return NOTHING, NOTHING
    if isinstance(statement.arguments, str):
        return _from_json(composer, given, statement.arguments)
    return NOTHING, COMMA.join(_from_text(composer, argument, statement.arguments) for argument in given)


def _from_json(composer: Composer, given: list[Argument], json: str) -> tuple[Composable, Composable]:
    typed = COMMA.join(SQL("{} {}").format(Identifier(each.name), trusted(each.type)) for each in given)
    source = SQL("json_to_record({}) AS body({})").format(composer.bind(json, "json"), typed)
    passed = [SQL("body.{}").format(Identifier(each.name)) for each in given]
    return source, COMMA.join(_passed(each, value) for each, value in zip(given, passed, strict=True))


def _from_text(
    composer: Composer, argument: Argument, given: Mapping[str, str | tuple[str, ...]]
) -> Composable:
    value = given[argument.name]
    if isinstance(value, tuple):
        value = array_literal(value) if argument.is_variadic else value[-1]
    elif argument.is_variadic and not value.startswith("{"):  # supabase-py writes a list as an array
        value = array_literal([value])
    return _passed(argument, composer.bind(value, argument.type))


def _passed(argument: Argument, value: Composable) -> Composable:
    variadic = SQL("VARIADIC ") if argument.is_variadic else NOTHING
    return SQL("{}{} := {}").format(variadic, Identifier(argument.name), value)
