"""What does the gateway spend on a piece of text that a run streams, and how late does it come?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from pydantic import SecretStr

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.db.tasks import Tasks
from agent_worker.domain.events import Event, attempt_start, text_delta
from agent_worker.domain.json import JsonObject
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.records import NewTask
from agent_worker.domain.task import Lease
from agent_worker.security.tokens import TokenIssuer
from benchmarks.contestants.contestant import Contestant
from benchmarks.gateways import Gateway, running_gateway
from benchmarks.scenarios.realtime import spread
from benchmarks.scenarios.scenario import Bench, Figure, Run

RUNS = 200
PIECES = (15, 60)
"""Of each run."""
PIECES_PER_S = 5.0
"""Of each run: a model at work."""
BATCH = 10
"""Runs whose pieces one worker writes together."""
GIVE_UP_S = 120.0
KIND = "pipeline"
SLUG = "measured"


class StreamsScenario:
    """Two hundred open streams of `/api/agents`, each of a run that says a piece of text five times a second."""

    name = "streams"
    title = (
        "Gateway: processor time for each piece of text that 200 streams of runs bring, and how late it comes"
    )
    figures: Sequence[Figure] = (
        Figure("server_cpu_us", "one server reads all: gateway CPU µs/piece", is_better_high=False),
        Figure("server_p50_ms", "p50 ms", digits=1, is_better_high=False),
        Figure("server_p99_ms", "p99 ms", digits=1, is_better_high=False),
        Figure("users_cpu_us", "a user each: gateway CPU µs/piece", is_better_high=False),
        Figure("users_p50_ms", "p50 ms", digits=1, is_better_high=False),
        Figure("users_p99_ms", "p99 ms", digits=1, is_better_high=False),
    )
    contestants: Sequence[str] = ("ours",)
    rounds = (1, 3)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Write and read here; the gateway is a process of its own."""
        figures: dict[str, float] = {}
        for name, has_users in (("server", False), ("users", True)):
            with bench.server.database(contestant) as database:
                url = bench.server.database_url(database)
                with running_gateway(url, bench.scratch) as gateway:
                    streams = _Streams(gateway, PIECES[not bench.is_quick], has_users=has_users)
                    cpu_s, late_ms = asyncio.run(streams.measure(url))
            figures[f"{name}_cpu_us"] = cpu_s * 1e6 / len(late_ms)
            figures |= spread(name, late_ms)
        return Run(figures)

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


@dataclass(slots=True)
class _Followed:
    """A run and its user."""

    task_id: UUID
    user_id: UUID
    attempt: int = 0
    next_seq: int = 1


@dataclass(slots=True)
class _Streams:
    """One measurement."""

    gateway: Gateway
    pieces: int
    has_users: bool
    late_ms: list[float] = field(default_factory=list)
    unopened: int = RUNS
    are_open: asyncio.Event = field(default_factory=asyncio.Event)
    are_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def measure(self, url: str) -> tuple[float, list[float]]:
        """Return the gateway's processor time, and how many milliseconds after its write each piece came."""
        async with Database(url) as db, asyncio.timeout(GIVE_UP_S):
            await Definitions(db, KIND).push(SLUG, _definition())
            queue = Queue(db, uuid4())
            runs = await _begun(db, queue)
            async with asyncio.TaskGroup() as tasks:
                for each in runs:
                    tasks.create_task(self._read(each))
                await self.are_open.wait()
                before_s = self.gateway.cpu_s()
                await self._write(queue, runs)
                await self.are_read.wait()
                cpu_s = self.gateway.cpu_s() - before_s
                await _say(queue, runs, lambda _: Event("error", {"message": "over", "errorType": "x"}))
        return cpu_s, self.late_ms

    async def _write(self, queue: Queue, runs: Sequence[_Followed]) -> None:
        """Say pieces as a fleet does: some runs at a time, all over the second."""
        pause_s = BATCH / (PIECES_PER_S * RUNS)
        due = time.monotonic()
        for _ in range(self.pieces):
            for first in range(0, RUNS, BATCH):
                await _say(queue, runs[first : first + BATCH], lambda _: text_delta("t1", _now()))
                due += pause_s
                await asyncio.sleep(max(due - time.monotonic(), 0))

    async def _read(self, run: _Followed) -> None:
        """Read one stream to its end."""
        place = urlsplit(self.gateway.url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        secret = SecretStr(self.gateway.jwt_secret)
        bearer = TokenIssuer(secret).issue(run.user_id)[0] if self.has_users else self.gateway.secret_key
        path = f"/api/agents/{SLUG}/executions/{run.task_id}/events"
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
        )
        async for line in reader:
            if b'"text-delta"' in line:
                said = line.rpartition(b'"delta":"')[2].partition(b'"')[0]
                self.late_ms.append((time.monotonic_ns() - int(said)) / 1e6)
                if len(self.late_ms) == RUNS * self.pieces:
                    self.are_read.set()
            elif b'"text-start"' in line:
                self.unopened -= 1
                if not self.unopened:
                    self.are_open.set()
            elif b"[DONE]" in line:
                break
        writer.close()


async def _begun(db: Database, queue: Queue) -> list[_Followed]:
    """Insert runs and begin them, each with a text that is open."""
    runs = {each.task_id: each for each in (_Followed(uuid4(), uuid4()) for _ in range(RUNS))}
    payload: JsonObject = {"agent": SLUG, "version": 1, "input": {}}
    await Tasks(db).submit_many(
        [
            NewTask(request_payload=payload, id=each.task_id, kind=KIND, user_id=each.user_id)
            for each in runs.values()
        ]
    )
    for task in await queue.claim([whole_level(KIND, 0)], RUNS):
        runs[task.id].attempt = task.attempt
    begun = list(runs.values())
    await _say(queue, begun, lambda each: attempt_start(attempt=each.attempt, resume="fresh", keep=()))
    await _say(queue, begun, lambda each: Event("start", {"executionId": str(each.task_id)}))
    await _say(queue, begun, lambda _: Event("text-start", {"id": "t1"}))
    return begun


async def _say(queue: Queue, runs: Sequence[_Followed], event: Callable[[_Followed], Event]) -> None:
    said = []
    for each in runs:
        lease = Lease(each.task_id, each.attempt, queue.worker_id)
        said.append(Said(lease, each.next_seq, event(each)))
        each.next_seq += 1
    await queue.write(Batch(events=said))


def _now() -> str:
    return str(time.monotonic_ns())


def _definition() -> JsonObject:
    protocol = "input: {}\nvariables: {}\nsteps:\n  Rest: {block: wait, for: 1s}\n"
    settings: JsonObject = {"slug": SLUG, "name": "Measured", "format": "worker"}
    return {"settings": settings, "protocol": protocol, "prompts": [], "references": []}
