"""Who listens in these tests, and what to listen to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from agent_worker.domain.caller import ANON, AUTHENTICATED, SERVICE_ROLE, Caller
from agent_worker.gateway.realtime.binding import Binding

DEADLINE_S = 30.0


class Ear:
    """A subscriber that keeps what it is told.

    Args:
        caller: Whose eyes.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.ids: list[list[int]] = []
        self.data: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self._told = asyncio.Event()

    def deliver(self, ids: Sequence[int], data_json: str) -> None:
        self.ids.append(list(ids))
        self.data.append(json.loads(data_json))
        self.texts.append(data_json)
        self._told.set()

    async def heard(self, count: int) -> list[dict[str, Any]]:
        """Wait for at least `count` changes in all, and return them."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.data) < count:
                self._told.clear()
                await self._told.wait()
        return self.data

    def records(self, column: str) -> list[Any]:
        return [change["record"].get(column) for change in self.data]


def user(sub: str | None = None, **claims: Any) -> Caller:
    return Caller(AUTHENTICATED, {"sub": sub or str(uuid4()), "role": AUTHENTICATED, **claims})


def anon() -> Caller:
    return Caller(ANON, {"role": ANON})


def service() -> Caller:
    return Caller(SERVICE_ROLE, {"role": SERVICE_ROLE})


def binding(
    table: str | None = "notes",
    *,
    event: str = "*",
    schema: str = "public",
    filter: str | None = None,  # noqa: A002 - the protocol's word
    select: tuple[str, ...] | None = None,
    id: int = 1,  # noqa: A002 - the protocol's word
) -> Binding:
    return Binding(id, event, schema, table, filter, select)


async def until(holds: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    """Wait for something that nobody signals."""
    async with asyncio.timeout(deadline_s):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)
