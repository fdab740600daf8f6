"""Wake whoever follows a task when something about it may have changed.

All followers of a client share one LISTEN connection, opened with the first of them. A wake-up is a hint to look:
it comes with a notification, with each reconnect (what was sent meanwhile is lost), and at the latest after `poll_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator
from uuid import UUID

from agent_worker.db.listen import Listener
from agent_worker.db.queries import sql

CHANNEL = "agent_worker_events"
"""Payload: ids of tasks whose events or outcome changed, separated by spaces."""


class Ear:
    """One follower's wake-up call. Look first, then `pause`: what happens in between is not missed."""

    def __init__(self, poll_s: float) -> None:
        self._poll_s = poll_s
        self._called = asyncio.Event()

    def call(self) -> None:
        """End the present pause, or the next one."""
        self._called.set()

    async def pause(self, limit_s: float | None = None) -> None:
        """Return when there may be news, after `poll_s` at the latest, or after `limit_s` if that is shorter."""
        # Up to half of the time is taken off, so that a thousand followers do not look at once.
        poll_s = self._poll_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(poll_s if limit_s is None else min(poll_s, limit_s)):
                await self._called.wait()
        self._called.clear()


class News:
    """The followers of one client.

    Args:
        conninfo: Where to listen.
        poll_s: Longest pause of a follower.
    """

    def __init__(self, conninfo: str, *, poll_s: float) -> None:
        self._poll_s = poll_s
        # Ids as PostgreSQL writes them: a busy fleet announces thousands a second, most of them for others.
        self._ears: dict[str, set[Ear]] = {}
        self._listener = Listener(
            conninfo, [CHANNEL], on_notify=self._on_notify, on_up=self.call_all, setup=[sql("follow")]
        )

    @property
    def is_connected(self) -> bool:
        """Whether notifications arrive; without them followers poll."""
        return self._listener.connected

    @property
    def followers(self) -> int:
        """How many calls wait or stream at this moment."""
        return sum(len(ears) for ears in self._ears.values())

    async def start(self) -> None:
        """Begin to listen; twice is fine."""
        await self._listener.start()

    async def stop(self) -> None:
        """Stop listening; twice is fine."""
        await self._listener.stop()

    @contextlib.contextmanager
    def of(self, task_id: UUID) -> Iterator[Ear]:
        """Follow one task for the length of a block."""
        ear = Ear(self._poll_s)
        ears = self._ears.setdefault(str(task_id), set())
        ears.add(ear)
        try:
            yield ear
        finally:
            ears.discard(ear)
            if not ears:
                self._ears.pop(str(task_id), None)

    def call_all(self) -> None:
        """Have every follower look."""
        for ears in self._ears.values():
            for ear in ears:
                ear.call()

    def _on_notify(self, _channel: str, payload: str) -> None:
        for task_id in payload.split(" "):
            for ear in self._ears.get(task_id, ()):
                ear.call()
