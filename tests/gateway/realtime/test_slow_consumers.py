"""Whoever stops reading costs the others nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent_worker.db.topics import Topics
from agent_worker.gateway.realtime.limits import RealtimeLimits
from agent_worker.gateway.realtime.outbox import Outbox, Pool
from agent_worker.gateway.realtime.wire import BoundedSocket
from tests.gateway.realtime.phone import Phone, phone
from tests.gateway.realtime.server import Gateway, running
from tests.waiting import eventually

TASKS = {"event": "*", "schema": "public", "table": "agent_task_requests"}
CONFIG = {"postgres_changes": [TASKS], "presence": {"enabled": False}}
ROW = {"text": "x" * 1000}


class Hasty(BoundedSocket):
    """Gives up a connection soon after its conversation."""

    abort_s = 0.2
    lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()


def small_buffers() -> socket.socket:
    """A socket whose kernel holds little that is not read."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return made


@contextlib.asynccontextmanager
async def hanging(gateway: Gateway) -> AsyncIterator[Phone]:
    """A client that joins and then reads nothing more, not even what the kernel has."""
    sock = small_buffers()
    sock.connect(("127.0.0.1", gateway.port))
    async with phone(
        gateway.socket_url(), sock=sock, max_queue=1, close_timeout=0.1, ping_interval=None
    ) as client:
        await client.join("tasks", CONFIG)
        await client.event("system")
        client.socket.transport.pause_reading()
        yield client


async def test_others_lose_nothing_while_one_hangs_and_memory_is_bounded(topics: Topics) -> None:
    limits = RealtimeLimits(unread_bytes=1_000_000, farewell_s=0.1)
    async with (
        running(topics, limits=limits, ws=Hasty) as gateway,
        hanging(gateway),
        phone(gateway.socket_url()) as reader,
    ):
        await reader.join("tasks", CONFIG)
        await reader.event("system")
        heard = asyncio.create_task(_count(reader, 10_000))
        most = 0
        for n in range(10_000):
            gateway.changes.emit("INSERT", {"id": n, **ROW})
            most = max(most, gateway.hub.pool.waiting_bytes)
            if n % 50 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(60):
            assert await heard == list(range(10_000))
        assert most < 3_000_000, "no more than the two queues may hold"
        await eventually(lambda: asyncio.sleep(0, gateway.hub.pool.sockets == 1))
        assert len(gateway.changes.subscribers) == 1
        assert gateway.hub.pool.waiting_bytes == 0


async def _count(reader: Phone, wanted: int) -> list[int]:
    heard = []
    while len(heard) < wanted:
        async for frame in reader.socket:
            message: Any = json.loads(frame)
            heard.append(message[4]["data"]["record"]["id"])
            if len(heard) == wanted:
                break
    return heard


async def test_a_slow_consumer_is_told_and_comes_back(topics: Topics) -> None:
    limits = RealtimeLimits(unread_bytes=100_000)
    async with running(topics, limits=limits) as gateway, hanging(gateway) as client:
        for n in range(20):  # more than kernels hold
            gateway.changes.emit("INSERT", {"id": n, "text": "x" * 500_000})
        client.socket.transport.resume_reading()
        heard = await client.event("system")
        assert heard.payload["message"] == "Messages were not read quickly enough"
        assert heard.payload["status"] == "error"
        assert await client.closed() == 1013


async def test_a_consumer_that_reads_on_in_time_has_lost_nothing(topics: Topics) -> None:
    async with running(topics) as gateway, hanging(gateway) as client:
        for n in range(20):
            gateway.changes.emit("INSERT", {"id": n, "text": "x" * 500_000})
        assert gateway.hub.pool.waiting_bytes > 0
        client.socket.transport.resume_reading()
        async with asyncio.timeout(10):
            assert await _count(client, 20) == list(range(20))
        assert gateway.hub.pool.waiting_bytes == 0


async def test_a_connection_that_is_not_read_is_let_go(topics: Topics) -> None:
    limits = RealtimeLimits(unread_bytes=100_000_000, idle_s=1.0, farewell_s=0.05)
    async with running(topics, limits=limits, ws=Hasty) as gateway, hanging(gateway):
        Hasty.lost.clear()
        for n in range(3):  # more than kernels hold, so that the pipe is full for good
            gateway.changes.emit("INSERT", {"id": n, "text": "x" * 4_000_000})
        async with asyncio.timeout(30):
            await Hasty.lost.wait()


async def test_a_farewell_waits_no_longer_than_it_should(topics: Topics) -> None:
    limits = RealtimeLimits(idle_s=0.2, farewell_s=0.1)
    async with running(topics, limits=limits, ws=Hasty) as gateway, hanging(gateway):
        gateway.changes.emit("INSERT", {"id": 1, "text": "x" * 4_000_000})
        await eventually(lambda: asyncio.sleep(0, gateway.hub.pool.sockets == 0))


class Pipe:
    """A connection that has room when a test says so."""

    def __init__(self, *, has_room: bool = False) -> None:
        self.written: list[str | bytes] = []
        self._emptied = asyncio.Event()
        if has_room:
            self._emptied.set()

    @property
    def has_room(self) -> bool:
        return self._emptied.is_set()

    def write_frame(self, frame: str | bytes) -> None:
        self.written.append(frame)

    async def room(self) -> None:
        await self._emptied.wait()

    def empty(self) -> None:
        self._emptied.set()


@pytest.fixture
def overflows() -> list[int]:
    return []


async def test_an_outbox_counts_what_waits_and_overflows_once(overflows: list[int]) -> None:
    pool = Pool()
    limits = RealtimeLimits(unread_bytes=100, unread_frames=3)
    outbox = Outbox(Pipe(), limits, pool, on_overflow=lambda: overflows.append(1))
    for _ in range(3):
        outbox.put_text("0123456789")
    assert (outbox.waiting, pool.waiting_bytes, overflows) == ((3, 30), 30, [])
    outbox.put_text("0123456789")
    assert (outbox.waiting, pool.waiting_bytes, overflows) == ((0, 0), 0, [1])
    outbox.close(1001)
    outbox.put_text("too late")
    assert outbox.waiting == (0, 0)


async def test_when_all_together_have_too_much_the_largest_share_goes(overflows: list[int]) -> None:
    pool = Pool()
    pool.sockets = 2
    limits = RealtimeLimits(unread_total_bytes=100)
    modest = Outbox(Pipe(), limits, pool, on_overflow=lambda: overflows.append(1))
    greedy = Outbox(Pipe(), limits, pool, on_overflow=lambda: overflows.append(2))
    greedy.put_text("x" * 90)
    modest.put_text("x" * 20)
    assert not overflows, "twenty are less than half"
    greedy.put_text("x")
    assert overflows == [2]
    assert (modest.waiting, pool.waiting_bytes) == ((1, 20), 20)


async def test_a_frame_is_written_at_once_where_there_is_room() -> None:
    pipe, pool = Pipe(has_room=True), Pool()
    outbox = Outbox(pipe, RealtimeLimits(unread_bytes=1), pool, on_overflow=lambda: None)
    outbox.put_text("a")
    outbox.put(("b", "c"), 2)
    assert pipe.written == ["a", "bc"]
    assert (outbox.waiting, pool.waiting_bytes) == ((0, 0), 0)


async def test_no_frame_overtakes_one_that_waits() -> None:
    pipe = Pipe()
    outbox = Outbox(pipe, RealtimeLimits(), Pool(), on_overflow=lambda: None)
    outbox.put_text("a")
    pipe.empty()
    outbox.put_text("b")
    outbox.flush()
    outbox.put_text("c")
    assert pipe.written == ["a", "b", "c"]


async def test_what_waits_is_written_before_the_end() -> None:
    pipe, pool = Pipe(), Pool()
    outbox = Outbox(pipe, RealtimeLimits(), pool, on_overflow=lambda: None)
    outbox.put_text("a")
    outbox.put(("b", "c"), 2)
    outbox.close(1001)
    ending = asyncio.create_task(outbox.written())
    pipe.empty()
    await ending
    assert pipe.written == ["a", "bc"]
    assert pool.waiting_bytes == 0
