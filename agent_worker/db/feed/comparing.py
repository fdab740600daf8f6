"""Let PostgreSQL compare, where its rules are not Python's: collations, patterns, types of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg import sql

from agent_worker.db.connection import Database, refused_values
from agent_worker.db.feed.values import Type, array_text
from agent_worker.db.queries import sql as query
from agent_worker.domain.errors import AgentWorkerError, DatabaseUnavailable, SchemaOutOfDate, ValueRefused

logger = structlog.get_logger(__name__)

COMPARE_TIMEOUT_MS = 1_000
"""Longest that the filters of one batch may take together; one that takes longer alone is not asked again."""

SYMBOLS: dict[str, LiteralString] = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "in": "= ANY",
    "like": "LIKE",
    "ilike": "ILIKE",
    "match": "~",
    "imatch": "~*",
    "isdistinct": "IS DISTINCT FROM",
}
"""SQL of the operators that compare a column with a value."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column operator value`, the column's value to come.

    Attributes:
        type_: Of the column.
        operator: A key of `SYMBOLS`.
        value: Text of the right side; of an array for `in`.
    """

    type_: Type
    operator: str
    value: str


class Comparing:
    """PostgreSQL's answers about values.

    Args:
        db: Its sessions are those of the feed, so that texts come in the format of the log.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._given_up: set[Comparison] = set()

    async def canonical(self, comparison: Comparison) -> str:
        """Return the right side as PostgreSQL writes it, having made sure that the comparison works.

        Raises:
            ValueRefused: The value is none of the type, or the type has no such operator; in PostgreSQL's words.
            DatabaseUnavailable: Nobody answers.
        """
        value = sql.Placeholder("value")
        # A pattern is only looked at when it is compared with something.
        left = sql.SQL("NULL") if comparison.operator == "in" else sql.SQL("{}::text").format(value)
        # The type's own way to write it, as in the log; a cast to text is another thing for bool, inet and char.
        probe = sql.SQL("SELECT format('%%s', {}), {}").format(
            _right(comparison, value), _test(comparison, left, value)
        )
        try:
            row = await self._fetch(probe, {"value": comparison.value})
        except SchemaOutOfDate as exc:  # no such operator looks to the driver like a function that is missing
            cause = exc.__cause__
            message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
            raise ValueRefused(message or str(exc)) from exc
        return str(row[0])

    async def judge(self, asks: Sequence[tuple[Comparison, Sequence[str | None]]]) -> list[list[bool | None]]:
        """Compare many values at once.

        Args:
            asks: What to compare, and with which values of the column.

        Returns:
            For each of `asks` the answers in the order of its values; None as in SQL, and for what cannot be told.
        """
        open_asks = [
            number for number, (comparison, _) in enumerate(asks) if comparison not in self._given_up
        ]
        answers: list[list[bool | None]] = [[None] * len(values) for _, values in asks]
        try:
            if open_asks:
                together = await self._ask([asks[number] for number in open_asks])
                for number, said in zip(open_asks, together, strict=True):
                    answers[number] = said
        except AgentWorkerError:  # one of them, perhaps
            for number in open_asks:
                answers[number] = await self._ask_alone(*asks[number])
        return answers

    async def write_json(self, asks: Sequence[tuple[Type, str]]) -> list[str]:
        """Return texts of types that only the server can write as JSON, as JSON texts.

        Raises:
            ValueRefused: One of them is no value of its type.
            DatabaseUnavailable: Nobody answers.
        """
        statement = sql.SQL("SELECT {}").format(
            sql.SQL(", ").join(
                sql.SQL("to_jsonb(%s::text::{})::text").format(_raw(type_.sql_name)) for type_, _ in asks
            )
        )
        return list(await self._fetch(statement, [text for _, text in asks]))

    async def _ask_alone(self, comparison: Comparison, values: Sequence[str | None]) -> list[bool | None]:
        try:
            return (await self._ask([(comparison, values)]))[0]
        except AgentWorkerError as exc:
            if not isinstance(exc, DatabaseUnavailable) or isinstance(
                exc.__cause__, psycopg.errors.QueryCanceled
            ):
                self._given_up.add(comparison)
                logger.warning("feed.filter_given_up", operator=comparison.operator, error=str(exc))
            return [None] * len(values)

    async def _ask(self, asks: Sequence[tuple[Comparison, Sequence[str | None]]]) -> list[list[bool | None]]:
        part = sql.SQL(
            "(SELECT array_agg({} ORDER BY u.place) FROM unnest(%s::text[]) WITH ORDINALITY u (value, place))"
        )
        tests = (_test(comparison, sql.SQL("u.value"), sql.SQL("%s")) for comparison, _ in asks)
        statement = sql.SQL("SELECT {}").format(sql.SQL(", ").join(map(part.format, tests)))
        params = [text for comparison, values in asks for text in (comparison.value, array_text(values))]
        return [list(answers) for answers in await self._fetch(statement, params)]

    async def _fetch(
        self, statement: sql.Composed, params: Mapping[str, str] | Sequence[str]
    ) -> tuple[Any, ...]:
        with refused_values():
            async with self._db.connection() as conn, conn.transaction():
                await conn.execute(query("hurry"), {"timeout_ms": str(COMPARE_TIMEOUT_MS)})
                cursor = await conn.execute(statement, params)
                return await cursor.fetchone() or ()


def _test(comparison: Comparison, left: sql.Composable, right: sql.Composable) -> sql.Composed:
    return sql.SQL("{}::{} {} ({})").format(
        left,
        _raw(comparison.type_.sql_name),
        sql.SQL(SYMBOLS[comparison.operator]),
        _right(comparison, right),
    )


def _right(comparison: Comparison, right: sql.Composable) -> sql.Composed:
    name = comparison.type_.sql_name
    if comparison.operator == "in":
        name += "[]"
    elif comparison.operator in {"like", "ilike", "match", "imatch"}:
        name = "text"
    return sql.SQL("{}::text::{}").format(right, _raw(name))


def _raw(words: str) -> sql.SQL:
    """Take the catalogue's own name of a type as it is."""
    return sql.SQL(words.replace("%", "%%"))
