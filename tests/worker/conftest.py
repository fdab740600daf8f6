"""A real worker inside the test's event loop, with intervals short enough for tests."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb
from pydantic import SecretStr

from agent_worker.app import linked
from agent_worker.db.connection import Database
from agent_worker.db.fleet import WorkerIdentity
from agent_worker.db.project import Project
from agent_worker.domain.backoff import Backoff
from agent_worker.domain.processor import Processor
from agent_worker.llm.models import Models
from agent_worker.telemetry import Metrics, configure_logging
from agent_worker.worker.pool.pool import ProcessPool
from agent_worker.worker.worker import Worker, WorkerOptions
from tests.gateway.door import SECRET
from tests.rest.project import StandIn
from tests.waiting import eventually

OPTIONS = WorkerOptions(
    concurrency=10,
    poll_interval_s=0.2,
    heartbeat_s=0.5,
    lease_s=60.0,
    rescue_interval_s=0.2,
    schedule_interval_s=1.0,
    housekeeping_interval_s=0.2,
    shutdown_grace_s=5.0,
    cancel_grace_s=0.3,
    backoff=Backoff(base_s=0.05, max_s=0.1),
)
"""Of a long lease, so that a worker that a busy machine keeps waiting is not taken for dead."""

SHORT_LEASE = {"lease_s": 1.5}
"""Where a worker that says no more is to be taken for dead."""

StartWorker = Callable[..., AbstractAsyncContextManager[Worker]]


def process_pool(processors: Sequence[Processor], *, size: int = 2, idle_s: float = 300.0) -> ProcessPool:
    """Processes for those of the processors that ask for one."""
    asking = {made.kind: type(made) for made in processors if getattr(made, "runs_in", "thread") == "process"}
    environment = {**os.environ, "DATABASE_URL": ""}
    return ProcessPool(
        size=size, builders=asking, prepare=configure_logging, environment=environment, idle_s=idle_s
    )


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """How workers reach their database: `postgres`, or `http` by a project that stands in for Supabase."""
    return str(getattr(request, "param", "postgres"))


@pytest.fixture
def project(database_url: str, way: str) -> Iterator[Project | None]:
    """The project over this test's database; None when workers need none."""
    if way == "postgres":
        yield None
        return
    with StandIn(database_url) as stand_in:
        yield Project(stand_in.url, SecretStr(SECRET))


@pytest.fixture
def start_worker(database_url: str, project: Project | None, tmp_path: Any) -> StartWorker:
    """Return `start_worker(*processors, url=…, models=…, processes=…, **options)`, a context manager around a worker.

    The models, which the worker closes, are `echo/echo` when none are given.
    """

    @contextlib.asynccontextmanager
    async def start(
        *processors: Processor,
        url: str | None = None,
        models: Models | None = None,
        processes: ProcessPool | None = None,
        **options: Any,
    ) -> AsyncIterator[Worker]:
        models = models or Models(default="echo/echo", data_dir=tmp_path)
        chosen = dataclasses.replace(OPTIONS, **options)
        identity = WorkerIdentity(
            id=uuid4(),
            name=f"test-{uuid4().hex[:8]}",
            host="test",
            pid=1,
            kinds=tuple(processor.kind for processor in processors),
            concurrency=chosen.concurrency,
            version="0",
            lease_s=chosen.lease_s,
        )
        async with linked(url or project or database_url) as link:
            worker = Worker(
                link,
                identity=identity,
                processors={processor.kind: processor for processor in processors},
                processes=processes or process_pool(processors),
                models=models.get,
                images=models.images,
                metrics=Metrics(),
                options=chosen,
            )
            await worker.start()
            try:
                yield worker
            finally:
                await worker.drain()
                await models.close()

    return start


class Rows:
    """The tables, as a client sees them."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def insert(self, kind: str, payload: dict[str, Any] | None = None, **columns: Any) -> UUID:
        """Insert a task and return its id."""
        values = {"kind": kind, "request_payload": Jsonb(payload or {}), **columns}
        names = ", ".join(values)
        places = ", ".join(f"%({name})s" for name in values)
        task_id: UUID = await self.db.fetch_value(
            f"INSERT INTO agent_task_requests ({names}) VALUES ({places}) RETURNING id",
            values,  # type: ignore[arg-type]
        )
        return task_id

    async def task(self, task_id: UUID) -> dict[str, Any]:
        """Return the task's row."""
        row: dict[str, Any] = await self.db.fetch_value(
            "SELECT to_jsonb(t) FROM agent_task_requests t WHERE id = %(id)s", {"id": task_id}
        )
        return row

    async def status(self, task_id: UUID) -> str:
        """Return the task's status."""
        return str((await self.task(task_id))["status"])

    async def reaches(self, task_id: UUID, status: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait until the task has a status, and return its row."""

        async def has_it() -> bool:
            return await self.status(task_id) == status

        try:
            await eventually(has_it, timeout_s=timeout_s)
        except TimeoutError as exc:
            raise AssertionError(f"not {status} after {timeout_s} s: {await self.task(task_id)}") from exc
        return await self.task(task_id)

    async def events(self, task_id: UUID) -> list[tuple[str, dict[str, Any]]]:
        """Return the stream, having checked that seq has no gap."""
        rows = await self.db.fetch_all(
            "SELECT seq, type, data FROM agent_task_events WHERE task_id = %(id)s ORDER BY seq",
            {"id": task_id},
        )
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        return [(row[1], row[2]) for row in rows]

    async def types(self, task_id: UUID) -> list[str]:
        """Return the types of the stream's events."""
        return [kind for kind, _ in await self.events(task_id)]

    async def question(self, task_id: UUID) -> dict[str, Any]:
        """Return the task's newest question."""
        row: dict[str, Any] = await self.db.fetch_value(
            "SELECT to_jsonb(h) FROM human_tasks h WHERE task_id = %(id)s ORDER BY created_at DESC LIMIT 1",
            {"id": task_id},
        )
        return row

    async def answer(self, task_id: UUID, response: dict[str, Any]) -> None:
        """Answer the task's open question."""
        await self.db.fetch_value(
            "UPDATE human_tasks SET response = %(response)s WHERE task_id = %(id)s AND status = 'pending' RETURNING id",
            {"id": task_id, "response": Jsonb(response)},
        )

    async def cancel(self, task_id: UUID) -> None:
        """Ask for the task to stop, as a client does."""
        await self.db.fetch_value(
            "UPDATE agent_task_requests SET cancel_requested_at = now() WHERE id = %(id)s RETURNING id",
            {"id": task_id},
        )


@pytest.fixture
def rows(db: Database) -> Rows:
    """The tables, as a client sees them."""
    return Rows(db)
