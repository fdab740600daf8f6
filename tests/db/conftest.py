"""One database for all tests of this room, emptied after each, and a queue and a fleet on it.

Emptying costs 3 ms where a copy of the template costs 50 and more. A test that changes the schema asks for
`databases` and makes itself a database.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Queue
from agent_worker.testing.postgres import TestDatabases
from tests.db.steps import Connect, Connection

EMPTY: LiteralString = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    DELETE FROM public.agent_task_requests;
    DELETE FROM public.agent_task_events;
    DELETE FROM agent_worker.checkpoints;
    DELETE FROM agent_worker.limits;
    DELETE FROM agent_worker.running;
    DELETE FROM agent_worker.starts;
    DELETE FROM agent_worker.workers;
    DELETE FROM agent_worker.kinds;
    DELETE FROM agent_worker.schedules;
    DELETE FROM agent_worker.definitions;
    DELETE FROM realtime.messages;
"""

# Every change of a table, trigger, function or setting writes a new version of a row in one of these.
FINGERPRINT: LiteralString = """
    SELECT (SELECT (count(*), max(xmin::text::bigint)) FROM pg_class),
           (SELECT (count(*), max(xmin::text::bigint)) FROM pg_proc),
           (SELECT (count(*), max(xmin::text::bigint)) FROM pg_trigger),
           (SELECT (count(*), max(xmin::text::bigint)) FROM pg_constraint),
           (SELECT (count(*), max(xmin::text::bigint)) FROM supabase_migrations.schema_migrations)
"""


class SharedDatabase:
    """A database that is lent to one test after the other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._conn: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(url, autocommit=True)
        self._fingerprint = self._conn.execute(FINGERPRINT).fetchone()

    def empty(self) -> None:
        """Cut whoever is left and delete all rows."""
        self._conn.execute(EMPTY)
        assert self._conn.execute(FINGERPRINT).fetchone() == self._fingerprint, (
            "the test changed the schema of the shared database; let it take a database of its own"
        )

    def close(self) -> None:
        self._conn.close()


@pytest.fixture(scope="session")
def shared_database(databases: TestDatabases) -> Iterator[SharedDatabase]:
    with databases.migrated() as url, contextlib.closing(SharedDatabase(url)) as shared:
        yield shared


@pytest.fixture
def database_url(shared_database: SharedDatabase) -> Iterator[str]:
    """A migrated database without rows."""
    yield shared_database.url
    shared_database.empty()


@pytest.fixture
def worker_id() -> UUID:
    return uuid4()


@pytest.fixture
def queue(db: Database, worker_id: UUID) -> Queue:
    """The queue through the eyes of one worker, which is not registered in the fleet."""
    return Queue(db, worker_id)


@pytest.fixture
def fleet(db: Database) -> Fleet:
    return Fleet(db)


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Connect]:
    """Opens further connections, outside any transaction until told otherwise; for races of two."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one() -> Connection:
            conn = await psycopg.AsyncConnection.connect(database_url, autocommit=True)
            stack.push_async_callback(conn.close)
            return conn

        yield open_one
