"""Changes told by triggers, for a server that writes no logical log.

The triggers exist while a gateway runs and are dropped with the last one; one that was killed leaves them, until the next
one ends. They cost what a log does not: a notification in each transaction makes commits wait for each other. What
arrives is a key, and the row is read again: two quick updates look alike, and a row that is gone by then is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import psycopg
import structlog
from psycopg import sql

from agent_worker.db.connection import Connection, Database
from agent_worker.db.feed.pgoutput import Column, Kind, Relation, Row, RowChange, size_of
from agent_worker.db.feed.session import feed_conninfo, readable
from agent_worker.db.feed.source import MOST_ROWS, Told
from agent_worker.db.feed.tables import Table, Tables
from agent_worker.db.feed.values import array_text
from agent_worker.db.queries import sql as query
from agent_worker.domain.errors import AgentWorkerError

CHANNEL = "agent_worker_changes"
CONNECT_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
TABLES_TTL_S = 1.0
"""Longest use of what is known of the tables: nothing tells of changes to them here."""
FOLLOW_INTERVAL_S = 5.0
"""Seconds between two looks for published tables that have no trigger yet."""


logger = structlog.get_logger(__name__)

_Key: TypeAlias = tuple[str | None, ...]
_KINDS: dict[str, Kind] = {"INSERT": "INSERT", "UPDATE": "UPDATE", "DELETE": "DELETE"}


@dataclass(frozen=True, slots=True)
class _News:
    """One notification."""

    table: int
    kind: Kind
    new: _Key
    old: _Key | None
    at: datetime


@dataclass(frozen=True, slots=True)
class _Followed:
    """A published table, as it was looked up last."""

    relation: Relation
    facts: Table
    row_filter: str | None


class Triggers:
    """A `Source` that listens to triggers.

    Args:
        database_url: Of a connection that keeps its session, as the owner of the tables.
        db: For reading rows again.
        publications: Whose tables get triggers.
        wanted: Whether anybody follows a table.
    """

    def __init__(
        self,
        database_url: str,
        db: Database,
        publications: Sequence[str],
        wanted: Callable[[Relation], bool],
    ) -> None:
        self._database_url = database_url
        self._db = db
        self._publications = list(publications)
        self._wanted = wanted
        self._tables = Tables(db)
        self._conn: Connection | None = None
        self._followed: dict[int, _Followed] = {}
        self._learned_until = 0.0
        self._followed_at = 0.0

    async def open(self, tell: Told) -> None:
        """Listen, and make the triggers; see `Source`."""
        del tell  # making a trigger waits for writers of that table alone, and for ten seconds at most
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._conn = conn = await psycopg.AsyncConnection.connect(
                feed_conninfo(self._database_url, "changes"), autocommit=True, prepare_threshold=None
            )
        await conn.execute(query("need_change_triggers"))
        await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
        await self._follow()

    async def read(self) -> Sequence[RowChange]:
        """Wait for notifications and read their rows again; see `Source`."""
        if self._conn is None:
            raise psycopg.InterfaceError("the triggers are not heard")
        if time.monotonic() - self._followed_at > FOLLOW_INTERVAL_S:
            await self._follow()
        news = _arrived(self._conn)
        if not news:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FOLLOW_INTERVAL_S):
                    await readable(self._conn)
            news = _arrived(self._conn)
        return await self._read_again(news) if news else ()

    async def close(self) -> None:
        """Stop listening, and drop the triggers unless another gateway needs them; see `Source`."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        with contextlib.suppress(psycopg.Error, OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                # The server would release the lock a moment after the connection is gone.
                await conn.execute(query("release_change_triggers"))
        await conn.close()
        with contextlib.suppress(AgentWorkerError):
            await self._db.call("unfollow_changes", {})

    async def _follow(self) -> None:
        await self._db.call("follow_changes", {"publications": self._publications})
        self._followed_at = time.monotonic()

    async def _read_again(self, news: Sequence[_News]) -> list[RowChange]:
        await self._learn()
        rows: dict[int, dict[_Key, Row]] = {}
        for oid, followed in self._followed.items():
            keys = {one.new for one in news if one.table == oid and one.kind != "DELETE"}
            if keys and followed.facts.key and self._wanted(followed.relation):
                rows[oid] = await self._select(followed, list(keys))
        changes = (self._change(one, rows.get(one.table, {})) for one in news)
        return [change for change in changes if change is not None]

    def _change(self, one: _News, rows: Mapping[_Key, Row]) -> RowChange | None:
        followed = self._followed.get(one.table)
        if followed is None or not self._wanted(followed.relation):
            return None
        key = followed.facts.key
        old: Row | None = dict(zip(key, one.old, strict=False)) if one.old is not None else None
        new: Row | None = None
        if one.kind != "DELETE":
            new = rows.get(one.new) if key else {}
            if new is None:
                return None
        return RowChange(one.kind, followed.relation, one.at, new, old, size_of(new) + size_of(old))

    async def _learn(self) -> None:
        if time.monotonic() < self._learned_until:
            return
        followed = {}
        for publication in self._publications:
            for table in await self._tables.published(publication):
                facts = await self._tables.look_up(table.oid, table.schema, table.name)
                if facts is not None:
                    columns = tuple(
                        Column(name, facts.types[name].oid, name in facts.key) for name in table.columns
                    )
                    relation = Relation(table.oid, table.schema, table.name, columns, is_full=False)
                    followed[table.oid] = _Followed(relation, facts, table.row_filter)
        self._followed = followed
        self._learned_until = time.monotonic() + TABLES_TTL_S

    async def _select(self, followed: _Followed, keys: Sequence[_Key]) -> dict[_Key, Row]:
        """Read rows by their keys, every value as text."""
        key, types = followed.facts.key, followed.facts.types
        columns = [column.name for column in followed.relation.columns]
        statement = sql.SQL(
            "SELECT {key}, {columns} FROM {table} t JOIN {keys} ON {match} WHERE {condition}"
        ).format(
            key=sql.SQL(", ").join(map(_as_text, key)),
            columns=sql.SQL(", ").join(map(_as_text, columns)),
            table=sql.Identifier(followed.relation.schema, followed.relation.table),
            keys=_unnested(len(key)),
            match=sql.SQL(" AND ").join(
                sql.SQL("{} = k.{}::{}").format(
                    sql.Identifier("t", name), sql.Identifier(f"k{place}"), _raw(types[name].sql_name)
                )
                for place, name in enumerate(key)
            ),
            condition=_raw(followed.row_filter or "true"),
        )
        params = [array_text(one[place] for one in keys) for place in range(len(key))]
        async with self._db.connection() as conn:
            cursor = await conn.execute(statement, params)
            found = await cursor.fetchall()
        width = len(key)
        return {tuple(row[:width]): dict(zip(columns, row[width:], strict=True)) for row in found}


def _as_text(column: str) -> sql.Composed:
    # The type's own way to write it; a cast to text is another thing for bool, inet and char.
    return sql.SQL("CASE WHEN {0} IS NOT NULL THEN format('%%s', {0}) END").format(
        sql.Identifier("t", column)
    )


def _unnested(width: int) -> sql.Composed:
    arrays = sql.SQL(", ").join([sql.SQL("%s::text[]")] * width)
    names = sql.SQL(", ").join(sql.Identifier(f"k{place}") for place in range(width))
    return sql.SQL("unnest({}) AS k ({})").format(arrays, names)


def _raw(words: str) -> sql.SQL:
    """Take the catalogue's own SQL as it is: the name of a type, the condition of a publication."""
    return sql.SQL(words.replace("%", "%%"))


def _arrived(conn: Connection) -> list[_News]:
    conn.pgconn.consume_input()
    news: list[_News] = []
    while len(news) < MOST_ROWS and (notice := conn.pgconn.notifies()):
        if (one := _news(notice.extra)) is not None:
            news.append(one)
    return news


def _news(payload: bytes) -> _News | None:
    try:
        told = json.loads(payload)
        return _News(
            table=int(told["table"]),
            kind=_KINDS[told["kind"]],
            new=tuple(told["new"] or ()),
            old=tuple(told["old"]) if told["old"] is not None else None,
            at=datetime.fromtimestamp(told["at"], UTC),
        )
    except (
        ValueError,
        KeyError,
        TypeError,
    ):  # any role may notify; what is not our triggers' is nothing to us
        logger.warning("feed.notification_unknown", size=len(payload))
        return None
