"""Read an answer of server-sent events as clients of the worker protocol do, line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT_S = 60.0


@dataclass
class Heard:
    """What an answer has said so far.

    Attributes:
        events: In order.
        ids: `id:` of the events that have one, beside the number of events heard with it.
        heartbeats: How many.
        is_done: Whether the trailer came, and nothing after it.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    ids: list[tuple[int, int]] = field(default_factory=list)
    heartbeats: int = 0
    is_done: bool = False

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def text(self) -> str:
        return "".join(event["delta"] for event in self.events if event["type"] == "text-delta")

    @property
    def execution_id(self) -> str:
        return str(self.events[0]["executionId"])

    @property
    def last_id(self) -> int:
        return self.ids[-1][1] if self.ids else 0

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def one(self, kind: str) -> dict[str, Any]:
        (event,) = self.all(kind)
        return event


class Listening:
    """An open answer."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.heard = Heard()
        self._lines = response.aiter_lines()
        self._id: int | None = None

    async def until(self, kind: str) -> dict[str, Any]:
        """Read until an event of a type has come, and return it."""
        async with asyncio.timeout(TIMEOUT_S):
            while (event := await self.next()) is not None:
                if event["type"] == kind:
                    return event
        raise AssertionError(f"no {kind} came: {self.heard.types}")

    async def rest(self) -> Heard:
        """Read to the end."""
        async with asyncio.timeout(TIMEOUT_S):
            while await self.next() is not None:
                pass
        return self.heard

    async def heartbeats(self, count: int) -> None:
        """Read until there have been so many."""
        async with asyncio.timeout(TIMEOUT_S):
            while self.heard.heartbeats < count:
                self._take(await anext(self._lines))

    async def next(self) -> dict[str, Any] | None:
        """Return the next event; None at the end."""
        async for line in self._lines:
            if (event := self._take(line)) is not None:
                return event
        return None

    def _take(self, line: str) -> dict[str, Any] | None:
        assert not self.heard.is_done or not line, "something follows [DONE]"
        if line == "data: [DONE]":
            self.heard.is_done = True
        elif line == ": heartbeat":
            self.heard.heartbeats += 1
        elif line.startswith("id: "):
            self._id = int(line[4:])
        elif line:
            assert line.startswith("data: "), line
            event: dict[str, Any] = json.loads(line[6:])
            self.heard.events.append(event)
            if self._id is not None:
                self.heard.ids.append((len(self.heard.events), self._id))
                self._id = None
            return event
        return None


@contextlib.asynccontextmanager
async def listening(
    http: httpx.AsyncClient, method: str, url: str, **request: Any
) -> AsyncIterator[Listening]:
    """Ask, and hang up after the block."""
    async with http.stream(method, url, timeout=httpx.Timeout(TIMEOUT_S), **request) as response:
        if response.status_code != httpx.codes.OK:
            await response.aread()
        assert response.status_code == httpx.codes.OK, response.text
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Listening(response)
