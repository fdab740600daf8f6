"""Changes by asking for them again and again, where the replication protocol does not come through.

The same log, slot and plugin as in `stream`, read by a function in plain SQL. Each change arrives up to one interval
after its commit. The slot is temporary, so this takes a session of its own: a pooler in session mode will do, one in
transaction mode will not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence

import psycopg

from agent_worker.db.connection import Connection, Database
from agent_worker.db.feed.blockers import say_who_blocks
from agent_worker.db.feed.pgoutput import Decoder, Relation, RowChange
from agent_worker.db.feed.session import feed_conninfo
from agent_worker.db.feed.source import MOST_BYTES, MOST_ROWS, Told
from agent_worker.db.queries import sql

CONNECT_TIMEOUT_S = 10.0
SLOT_TIMEOUT_S = 120.0
POLL_INTERVAL_S = 0.1
"""Seconds between two rounds that found nothing."""


class Poll:
    """A `Source` that asks by SQL.

    Args:
        database_url: Of a connection that keeps its session.
        db: For what is asked meanwhile.
        publications: Which to read; they must exist.
        wanted: Whether anybody follows a table.
        interval_s: Seconds between two rounds that found nothing.
    """

    def __init__(
        self,
        database_url: str,
        db: Database,
        publications: Sequence[str],
        wanted: Callable[[Relation], bool],
        *,
        interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._database_url = database_url
        self._db = db
        self._publications = ",".join('"' + name.replace('"', '""') + '"' for name in publications)
        self._decoder = Decoder(wanted)
        self._interval_s = interval_s
        self._slot = f"agent_worker_{os.getpid()}_{secrets.token_hex(6)}"
        self._conn: Connection | None = None
        self._messages: AsyncGenerator[bytes | None, None] | None = None

    async def open(self, tell: Told) -> None:
        """Connect and make the slot; see `Source`."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._conn = await psycopg.AsyncConnection.connect(
                feed_conninfo(self._database_url, "changes", timeout_ms=0),
                autocommit=True,
                prepare_threshold=None,
            )
        async with say_who_blocks(self._db, tell), asyncio.timeout(SLOT_TIMEOUT_S):
            await self._conn.execute(sql("create_feed_slot"), {"slot": self._slot})
        self._messages = self._ask(self._conn)

    async def read(self) -> Sequence[RowChange]:
        """Return the next rows of this round; after a round with nothing, wait an interval. See `Source`."""
        if self._messages is None:
            raise psycopg.InterfaceError("the poll is not open")
        rows: list[RowChange] = []
        size = 0
        async for message in self._messages:
            if message is None:
                break
            size += len(message)
            if (row := self._decoder.decode(message)) is not None:
                rows.append(row)
            if len(rows) >= MOST_ROWS or size >= MOST_BYTES:
                break
        return rows

    async def close(self) -> None:
        """End the session, and with it the slot; see `Source`."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()
        messages, self._messages = self._messages, None
        if messages is not None:
            with contextlib.suppress(psycopg.Error):
                await messages.aclose()

    async def _ask(self, conn: Connection) -> AsyncGenerator[bytes | None, None]:
        """Yield messages, and None at the end of each round.

        Row by row, because a round has whole transactions, however large: the server keeps them on its disk.
        """
        params = {"slot": self._slot, "publications": self._publications, "limit": MOST_ROWS}
        while True:
            is_any = False
            async with conn.cursor() as cursor:
                async for (message,) in cursor.stream(sql("read_feed_slot"), params, binary=True):
                    is_any = True
                    yield message
            yield None
            if not is_any:
                await asyncio.sleep(self._interval_s)
