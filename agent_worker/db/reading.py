"""Reads over large tables."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import LiteralString

from agent_worker.db.connection import Connection, Database
from agent_worker.db.queries import sql
from agent_worker.db.transport import Params, Rows


class Reader:
    """One connection, set up so that a list of fifty rows reads about fifty."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    async def rows(self, query: LiteralString, params: Params | None = None) -> Rows:
        """Run one statement and return its rows."""
        cursor = await self._conn.execute(query, params)
        return await cursor.fetchall()


@contextlib.asynccontextmanager
async def reading(db: Database) -> AsyncIterator[Reader]:
    """Borrow a connection for reads that must go by index: see `queries/read_by_index.sql`."""
    async with db.connection() as conn, conn.transaction():
        await conn.execute(sql("read_by_index"))
        yield Reader(conn)
