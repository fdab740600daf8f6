"""Who may hear and speak on a private topic: whoever the policies of `realtime.messages` let read and insert there.

PostgreSQL itself decides. As upstream does (`Realtime.Tenants.Authorization`), two messages are inserted, looked at with
the caller's role and claims, and rolled back; nobody ever sees them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import psycopg
import structlog

from agent_worker.db.connection import Connection, Database
from agent_worker.db.queries import sql
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import SchemaOutOfDate
from agent_worker.domain.json import dump_json

logger = structlog.get_logger(__name__)

Extension: TypeAlias = Literal["broadcast", "presence"]


@dataclass(frozen=True, slots=True)
class TopicRights:
    """What a caller may do on a private topic."""

    reads_broadcast: bool = False
    reads_presence: bool = False

    @property
    def reads_any(self) -> bool:
        """Whether it may join at all."""
        return self.reads_broadcast or self.reads_presence


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A row of `realtime.messages`."""

    id: str
    event: str
    payload_json: str


class Topics:
    """Asks the policies of `realtime.messages`.

    Args:
        database: Connections of the table's owner, or of a superuser, who may become every role that a token names.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def may_read(self, topic: str, caller: Caller) -> TopicRights:
        """Return what a caller may hear on a topic, given without `realtime:`; nothing where a policy fails.

        Raises:
            DatabaseUnavailable: PostgreSQL is away.
        """
        seen: set[str] = set()
        async with self._trying("read") as conn:
            cursor = await conn.execute(sql("try_topic"), {"topic": topic})
            ids = [row[0] for row in await cursor.fetchall()]
            await _act(conn, topic, caller)
            cursor = await conn.execute(sql("see_topic"), {"ids": ids, "topic": topic})
            seen = {row[0] for row in await cursor.fetchall()}
        return TopicRights("broadcast" in seen, "presence" in seen)

    async def may_write(self, topic: str, extension: Extension, caller: Caller) -> bool:
        """Tell whether a caller may broadcast, or be present, on a topic.

        Raises:
            DatabaseUnavailable: PostgreSQL is away.
        """
        written = 0
        async with self._trying("write") as conn:
            await _act(conn, topic, caller)
            cursor = await conn.execute(sql("write_to_topic"), {"topic": topic, "extension": extension})
            written = cursor.rowcount
        return written > 0

    async def replay(self, topic: str, *, since_ms: int, limit: int) -> list[StoredMessage]:
        """Return the newest broadcasts of a private topic, oldest first. Ask `may_read` before.

        Raises:
            DatabaseUnavailable: PostgreSQL is away.
            SchemaOutOfDate: There is no table of messages.
            psycopg.Error: The table has another shape.
        """
        async with self._database.connection() as conn:
            params = {"topic": topic, "since_ms": since_ms, "limit": limit}
            cursor = await conn.execute(sql("replay_messages"), params)
            rows = await cursor.fetchall()
        return [StoredMessage(*row) for row in reversed(rows)]

    @contextlib.asynccontextmanager
    async def _trying(self, what: str) -> AsyncIterator[Connection]:
        """Give a transaction that leaves nothing behind; an error in it means that nothing is allowed."""
        try:
            async with self._database.connection() as conn:
                try:
                    async with conn.transaction(force_rollback=True):
                        yield conn
                except psycopg.errors.InsufficientPrivilege:
                    pass
                except psycopg.errors.UndefinedTable:
                    raise
                except (psycopg.DataError, psycopg.ProgrammingError, psycopg.IntegrityError) as exc:
                    # A policy that fails, such as a cast of the topic to a UUID, lets nobody in.
                    logger.info("topic.policy_failed", what=what, sqlstate=exc.sqlstate)
        except SchemaOutOfDate:
            logger.warning("topic.table_missing", table="realtime.messages")


async def _act(conn: Connection, topic: str, caller: Caller) -> None:
    claims = dump_json({**caller.claims, "role": caller.role})
    await conn.execute(sql("act_on_topic"), {"topic": topic, "claims": claims, "role": caller.role})
