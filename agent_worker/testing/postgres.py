"""Databases for tests: migrated once, copied for each test.

A copy of a template costs about 30 ms, a migrated database of its own 150 ms, and every test gets what production
has: roles, policies, triggers and all.

Example, a fixture of your own project:

```python
@pytest.fixture(scope="session")
def databases() -> Iterator[TestDatabases]:
    with TestDatabases("postgresql://postgres@localhost:5432/postgres") as databases:
        yield databases

@pytest.fixture
def database_url(databases: TestDatabases) -> Iterator[str]:
    with databases.migrated() as url:
        yield url
```
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database
from agent_worker.db.migrate import migrate

DROP_TIMEOUT_S = 60.0

PREFIX = "aw_test_"
"""Every database made here is called so; whatever a killed test run leaves behind can be told by it."""


class TestDatabases:
    """Makes databases on one server and drops them again.

    Not safe for threads. Several processes may use one server at once: names are random, and each process has a
    template of its own.

    Args:
        server_url: Connects to any database of the server, as a superuser.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(self, server_url: str) -> None:
        self.server_url = server_url
        self._admin = psycopg.connect(server_url, autocommit=True)
        self._template: str | None = None

    def close(self) -> None:
        """Drop the template; twice is fine."""
        if self._template is not None:
            self._drop(self._template)
            self._template = None
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a fresh database with this release's schema.

        The first call must not come from a running event loop: it migrates the template.
        """
        if self._template is None:
            self._template = self._create("template0")
            asyncio.run(migrate(self.url(self._template)))
        with self._lent(self._template) as url:
            yield url

    @contextlib.contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a fresh database without anything of ours; the roles of the server may exist."""
        with self._lent("template0") as url:
            yield url

    def url(self, database: str) -> str:
        """Return the server's URL with another database in it."""
        if "://" not in self.server_url:
            return make_conninfo(self.server_url, dbname=database)
        # The empty path of a URL such as postgresql://?host=/tmp would otherwise swallow the slashes.
        return urlsplit(self.server_url)._replace(path=f"/{database}").geturl()

    @contextlib.contextmanager
    def _lent(self, template: str) -> Iterator[str]:
        name = self._create(template)
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    def _create(self, template: str) -> str:
        name = PREFIX + secrets.token_hex(6)
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return name

    def _drop(self, name: str) -> None:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        deadline = time.monotonic() + DROP_TIMEOUT_S
        while True:
            try:
                self._admin.execute(drop)
            except psycopg.errors.ObjectInUse:
                # The replication slot of a gateway that has just stopped: the server needs a moment to see it gone.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


async def insert_task(db: Database, **columns: Any) -> UUID:
    """Insert a task as the owner of the tables and return its id; a dict becomes jsonb."""
    columns = {"id": uuid4(), "kind": "echo", **columns}
    values = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in columns.items()}
    query = sql.SQL("INSERT INTO public.agent_task_requests ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
    )
    async with db.connection() as conn:
        await conn.execute(query, values)
    task_id: UUID = columns["id"]
    return task_id


async def read_task(db: Database, task_id: UUID) -> dict[str, Any]:
    """Return a task's row, all columns by name.

    Raises:
        LookupError: There is no such task.
    """
    async with db.connection() as conn:
        cursor = conn.cursor(row_factory=psycopg.rows.dict_row)
        await cursor.execute("SELECT * FROM public.agent_task_requests WHERE id = %s", [task_id])
        row = await cursor.fetchone()
    if row is None:
        raise LookupError(f"no task {task_id}")
    return row


async def read_events(db: Database, task_id: UUID) -> list[tuple[int, str, dict[str, Any]]]:
    """Return a task's stream as (seq, type, data), in order."""
    async with db.connection() as conn:
        cursor = await conn.execute(
            "SELECT seq, type, data FROM public.agent_task_events WHERE task_id = %s ORDER BY seq", [task_id]
        )
        return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]
