"""Whoever has gone leaves nothing behind, and nothing to look for."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from agent_worker.db.topics import Topics
from agent_worker.gateway.realtime.wire import BoundedSocket
from agent_worker.gateway.wire import BoundedHttp
from tests.gateway.realtime.phone import phone
from tests.gateway.realtime.server import running
from tests.waiting import eventually

TASKS = {"event": "*", "schema": "public", "table": "agent_task_requests"}
CONFIG = {"postgres_changes": [TASKS], "presence": {"enabled": False}}

alive: weakref.WeakSet[Any] = weakref.WeakSet()


class Head(BoundedHttp):
    """The part of a connection that reads its handshake."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        alive.add(self)


class Body(BoundedSocket):
    """The part of it that is the socket."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        alive.add(self)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """A full look at a gateway's objects stops it for longer than a fan-out takes; it must not be needed."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("is_polite", [True, False])
async def test_a_socket_that_has_gone_is_freed_without_the_garbage_collector(
    topics: Topics, *, is_polite: bool
) -> None:
    async with running(topics, http=Head, ws=Body) as gateway:
        async with phone(gateway.socket_url()) as client:
            await client.join("tasks", CONFIG)
            await client.event("system")
            gateway.changes.emit("INSERT", {"id": 1})
            await client.event("postgres_changes")
            assert len(alive) > 0
            if not is_polite:
                client.socket.transport.abort()
        await eventually(lambda: asyncio.sleep(0, not alive))
