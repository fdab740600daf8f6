"""A database, a fleet of real workers, people who insert, answer and cancel, and the check when all is over."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database
from agent_worker.domain.errors import DatabaseUnavailable
from tests.chaos.invariants import check, prepare
from tests.chaos.processors import note
from tests.e2e.fleet import WorkerProcess
from tests.waiting import eventually

PLAYER = f"{Path(__file__).parent / 'processors.py'}:Player"

QUICK = {
    "AGENT_WORKER_HEARTBEAT_S": "0.5",
    "AGENT_WORKER_LEASE_S": "1.5",
    "AGENT_WORKER_BACKOFF_BASE_S": "0.05",
    "AGENT_WORKER_BACKOFF_MAX_S": "0.2",
    "AGENT_WORKER_SHUTDOWN_GRACE_S": "5",
}
PATIENCE_S = 60.0
"""For what workers do that may have yet to start, on a machine that is busy with other things."""

LEASE_S = float(QUICK["AGENT_WORKER_LEASE_S"])

MOVES = (
    "say:a word",
    "work:0.02",
    "step:one",
    "step:two",
    "ask:leave",
    "child:first",
    "child:second",
    "fail:1",
)

Value = TypeVar("Value")


class Scene:
    """One scenario's stage. Ends every process it started.

    Args:
        url: The database, straight.
        folder: For the ledger and the workers' logs.
        dice: Where all chance comes from.
    """

    def __init__(self, url: str, folder: Path, dice: random.Random) -> None:
        self.url = url
        self.db = Database(url, acquire_timeout_s=2.0)
        self.dice = dice
        self.workers: list[WorkerProcess] = []
        self.inserted: list[UUID] = []
        self._folder = folder
        self.ledger = Path(os.environ["LEDGER"])
        self._refusals = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Scene]:
        """Make the side tables and let people in; the workers' logs are printed, for pytest to show on a failure."""
        async with self.db:
            await prepare(self.db)
            person = asyncio.create_task(self._answer_all())
            try:
                yield self
            finally:
                person.cancel()
                await asyncio.wait({person})
                for worker in self.workers:
                    worker.stop()
                    sys.stderr.write(f"--- {worker.log}\n{worker.log.read_text()[-3000:]}\n")

    # Workers

    def start(
        self, *options: str, url: str | None = None, prefix: Sequence[str] = (), **env: str
    ) -> WorkerProcess:
        """Start a worker that plays; `url` leads it to the database another way."""
        with (self._folder / f"worker-{len(self.workers)}.log").open("w") as log:
            worker = WorkerProcess(
                url or self.url, log, "--processor", PLAYER, *options, env={**QUICK, **env}, prefix=prefix
            )
        self.workers.append(worker)
        return worker

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL a worker, and note when it was certainly dead."""
        worker.kill()
        note("killed", pid=worker.pid)

    @property
    def running(self) -> list[WorkerProcess]:
        """Workers that have not ended."""
        return [worker for worker in self.workers if not worker.has_ended]

    async def alive(self, count: int) -> None:
        """Wait until so many workers are in the fleet."""
        await self.until(
            "SELECT count(*) = %(count)s FROM agent_worker.workers WHERE stopped_at IS NULL", count=count
        )

    async def given_up(self, worker: WorkerProcess) -> None:
        """Wait until a silent worker counts as dead and holds nothing any more."""
        await self.until(
            "SELECT w.state = 'lost' AND NOT EXISTS (SELECT FROM public.agent_task_requests t "
            "WHERE t.worker_id = w.id AND t.status = 'processing') FROM agent_worker.workers w WHERE w.pid = %(pid)s",
            pid=worker.pid,
        )

    async def holds(self, worker: WorkerProcess, count: int = 1) -> None:
        """Wait until a worker runs so many tasks."""
        await self.until(
            "SELECT count(*) >= %(count)s FROM public.agent_task_requests t "
            "JOIN agent_worker.workers w ON w.id = t.worker_id WHERE t.status = 'processing' AND w.pid = %(pid)s",
            pid=worker.pid,
            count=count,
        )

    # People

    async def insert(self, count: int, plan: Sequence[str] | None = None, **columns: Any) -> list[UUID]:
        """Insert tasks, each with a plan of its own unless one is given; again and again until it is certain."""
        ids = [uuid4() for _ in range(count)]
        payloads = [Jsonb({"n": n, "plan": plan or self._plan()}) for n in range(count)]
        values = {"ids": ids, "payloads": payloads, "max_attempts": columns.get("max_attempts", 25)}
        await self.insist(
            lambda: self.db.fetch_all(
                "INSERT INTO public.agent_task_requests (id, kind, request_payload, max_attempts) "
                "SELECT id, 'play', payload, %(max_attempts)s FROM unnest(%(ids)s::uuid[], %(payloads)s::jsonb[]) "
                "AS t (id, payload) ON CONFLICT (id) DO NOTHING RETURNING 1",
                values,
            )
        )
        self.inserted += ids
        return ids

    async def cancel(self, ids: Sequence[UUID]) -> None:
        """Ask for tasks to stop."""
        await self.insist(
            lambda: self.db.fetch_all(
                "UPDATE public.agent_task_requests SET cancel_requested_at = now() "
                "WHERE id = ANY (%(ids)s) RETURNING 1",
                {"ids": list(ids)},
            )
        )

    def some(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return a few of them."""
        return self.dice.sample(ids, k=max(len(ids) // 10, 1))

    def _plan(self) -> list[str]:
        moves = self.dice.sample(MOVES, k=self.dice.randint(1, len(MOVES)))
        return moves if len(moves) > 1 else ["work:0.05", *moves]

    async def _answer_all(self) -> None:
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await self.db.fetch_all(
                    "UPDATE public.human_tasks SET response = '{\"approved\": true}' WHERE id IN "
                    "(SELECT id FROM public.human_tasks WHERE status = 'pending' FOR UPDATE SKIP LOCKED) RETURNING 1"
                )
            await asyncio.sleep(0.02)

    async def insert_meanwhile(self, count: int, event: Awaitable[object]) -> None:
        """Insert tasks from before something happens until after it."""
        inserting = asyncio.create_task(self.insert(count))
        await event
        await inserting

    async def cut_sessions(self, role: str = "") -> int:
        """End the workers' sessions, or only those of one role (`listener`, `heartbeat`); returns how many."""
        ended: int = await self.insist(
            lambda: self.db.fetch_value(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND application_name LIKE 'agent-worker%%' AND application_name LIKE %(role)s",
                {"role": f"%{role}"},
            )
        )
        return ended

    # Waiting

    async def lease_passes(self, lease_s: float = LEASE_S) -> None:
        """Wait for more than a lease, by the database's clock."""
        began = await self.insist(lambda: self.db.fetch_value("SELECT clock_timestamp()"))
        await self.until(
            "SELECT clock_timestamp() > %(began)s + make_interval(secs => %(lease_s)s)",
            began=began,
            lease_s=lease_s * 1.5,
        )

    async def insist(self, act: Callable[[], Awaitable[Value]]) -> Value:
        """Do something that may be done twice, until the database has said that it is done."""
        deadline = time.monotonic() + 60
        while True:
            try:
                done = await act()
            except DatabaseUnavailable:
                self._refusals += 1
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                self._refusals = 0
                return done

    async def is_refused(self) -> bool:
        """Whether the database has just refused what somebody insists on."""
        return self._refusals > 0

    async def until(self, query: str, *, timeout_s: float = PATIENCE_S, **params: Any) -> None:
        """Wait until a query says true; a database that is away says nothing."""

        async def is_so() -> bool:
            try:
                return bool(await self.db.fetch_value(query, params))  # type: ignore[arg-type]
            except DatabaseUnavailable:
                return False

        try:
            await eventually(is_so, timeout_s=timeout_s)
        except TimeoutError as exc:
            left = await self.db.fetch_all(
                "SELECT id, status, attempt, run_at, resume, worker_id, request_payload -> 'plan', cancel_requested_at, "
                "now() FROM public.agent_task_requests WHERE finished_at IS NULL LIMIT 5"
            )
            raise AssertionError(f"not after {timeout_s:g} s: {query} · {self.counts()} · {left}") from exc

    async def ended(self, ids: Sequence[UUID]) -> None:
        """Wait until these tasks have ended."""
        await self.until(
            "SELECT count(*) = %(count)s FROM public.agent_task_requests "
            "WHERE id = ANY (%(ids)s) AND status IN ('completed', 'failed', 'cancelled')",
            count=len(ids),
            ids=list(ids),
        )

    async def further(self, starts: int, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many more attempts have begun, by the ledger: it does not need the database."""
        await self.begun(self.counts()["start"] + starts, timeout_s=timeout_s)

    async def begun(self, starts: int, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until so many attempts have begun in all."""

        async def has_come() -> bool:
            return self.counts()["start"] >= starts

        await eventually(has_come, timeout_s=timeout_s)

    def _logs(self) -> str:
        return "".join(worker.log.read_text() for worker in self.workers)

    def logged(self, event: str) -> int:
        """Count the workers' log lines that name an event."""
        return self._logs().count(event)

    def counts(self) -> Counter[str]:
        """Count the ledger's notes by what they say."""
        return Counter(fact["what"] for fact in self.notes())

    def notes(self) -> Iterator[dict[str, Any]]:
        """Read the ledger, but for a line that is just being written."""
        for line in self.ledger.read_text().rpartition("\n")[0].splitlines():
            yield json.loads(line)

    # The end

    async def settle(self, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until every task has ended, have the workers leave, and hold the database to the rules."""
        await self.until(
            "SELECT NOT EXISTS (SELECT FROM public.agent_task_requests "
            "WHERE status IN ('pending', 'processing', 'waiting'))",
            timeout_s=timeout_s,
        )
        leaving = self.running
        for worker in leaving:
            # One that is still importing would end by the signal, without a word.
            await eventually(functools.partial(_has_started, worker), timeout_s=timeout_s)
            worker.terminate()
        for worker in leaving:
            assert await asyncio.to_thread(worker.wait) == 0
        await check(self.db, self.inserted, self.ledger)


async def _has_started(worker: WorkerProcess) -> bool:
    return "worker.started" in worker.log.read_text()
