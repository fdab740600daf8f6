"""A database with a table that users share, and the fan-out of its changes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from agent_worker.gateway.realtime.changes import Changes
from tests.gateway.feed.ears import DEADLINE_S

NOTES = """
    CREATE TABLE public.notes (
      id integer PRIMARY KEY, owner uuid, body text, size numeric, done boolean, at timestamptz, hidden text
    );
    ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
    GRANT SELECT (id, owner, body, size, done, at) ON public.notes TO authenticated;
    GRANT ALL ON public.notes TO service_role;
    CREATE POLICY "owners see their notes" ON public.notes FOR SELECT TO authenticated
      USING ((SELECT auth.uid()) = owner);
    ALTER PUBLICATION supabase_realtime ADD TABLE public.notes;
    CREATE TABLE public.news (id integer PRIMARY KEY, body text, big text);
    GRANT SELECT ON public.news TO anon, authenticated, service_role;
    ALTER PUBLICATION supabase_realtime ADD TABLE public.news;
"""


class Sql:
    """The database's owner at work."""

    def __init__(self, conn: psycopg.Connection[tuple[object, ...]], url: str) -> None:
        self.conn = conn
        self.url = url

    def run(self, statement: str, *params: object) -> list[tuple[object, ...]]:
        cursor = self.conn.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def owner(database_url: str) -> Iterator[Sql]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        sql = Sql(conn, database_url)
        sql.run(NOTES)
        yield sql
        # A database with a slot cannot be dropped, and a slot goes a moment after its session.
        deadline = time.monotonic() + DEADLINE_S
        while sql.run("SELECT 1 FROM pg_replication_slots WHERE database = current_database()"):
            assert time.monotonic() < deadline, "somebody kept a slot"
            time.sleep(0.005)


@contextlib.asynccontextmanager
async def flowing(url: str, **options: Any) -> AsyncIterator[Changes]:
    """The fan-out, ready."""
    changes = Changes(url, **options)
    await changes.start()
    try:
        async with asyncio.timeout(DEADLINE_S):
            await changes.ready()
        yield changes
    finally:
        await changes.stop()


@pytest.fixture
async def changes(owner: Sql) -> AsyncIterator[Changes]:
    async with flowing(owner.url) as flows:
        yield flows
