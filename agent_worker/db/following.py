"""Follow tasks: what they say, as they say it, and how they end; any number of followers on one listening connection.

A wake-up is a hint to look. It comes with a notification, with each reconnect (what was sent meanwhile is lost), and
when a look at all followed tasks at once, every `poll_s` seconds, finds news of one: so a follower that hears nothing
costs no query of its own, and notifications that do not arrive, as through a pooler in transaction mode, delay it only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Iterator
from typing import Protocol
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.db.listen import Listener
from agent_worker.db.patience import patiently
from agent_worker.db.queries import sql
from agent_worker.db.tasks import Following, Tasks
from agent_worker.domain.client_errors import TaskNotFound, WaitTimeout
from agent_worker.domain.errors import AgentWorkerError

CHANNEL = "agent_worker_events"
"""Payload: ids of tasks whose events or outcome changed, separated by spaces."""

PATIENCE_S = 15.0
"""How long a follower tries again while the database is away."""

_STOP_S = 1.0
_ONLY_THE_END = 2**31 - 1


class Look(Protocol):
    """Reads how a task stands and what it has said after an event; `Tasks.follow` does."""

    async def __call__(self, task_id: UUID, *, after_seq: int) -> Following | None:
        """Return the next page; None when there is no such task."""
        ...


class Ear:
    """One follower's wake-up call. Look first, then `pause`: what happens in between is not missed.

    Attributes:
        seen: The last event that the follower has; it is called for later ones, and for the task's end.
    """

    def __init__(self, seen: int = _ONLY_THE_END) -> None:
        self.seen = seen
        self._called = asyncio.Event()

    def call(self) -> None:
        """End the present pause, or the next one."""
        self._called.set()

    async def pause(self, limit_s: float | None = None) -> bool:
        """Return when there may be news, or after `limit_s`; true in the first case."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._called.wait()
        was_called = self._called.is_set()
        self._called.clear()
        return was_called


class Followers:
    """Everybody in this process who follows tasks of one database.

    Args:
        db: Where the tasks are; its owner opens and closes it. Reads see every tenant's rows.
        poll_s: Longest time a change goes unnoticed when notifications do not arrive.
    """

    def __init__(self, db: Database, *, poll_s: float = 2.0) -> None:
        self._db = db
        self._tasks = Tasks(db)
        self._poll_s = poll_s
        # Ids as PostgreSQL writes them: a busy fleet announces thousands a second, most of them for others.
        self._ears: dict[str, set[Ear]] = {}
        self._listener = Listener(
            db.conninfo, [CHANNEL], on_notify=self._on_notify, on_up=self.call_all, setup=[sql("follow")]
        )
        self._polling: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether notifications arrive; without them news is found by polling."""
        return self._listener.connected

    @property
    def count(self) -> int:
        """How many follow at this moment."""
        return sum(len(ears) for ears in self._ears.values())

    async def start(self) -> None:
        """Begin to listen; twice is fine."""
        await self._listener.start()
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll(), name="agent-worker-followers")

    async def stop(self) -> None:
        """Stop listening; twice is fine. Never waits for the server."""
        polling, self._polling = self._polling, None
        if polling is not None:
            polling.cancel()
            await asyncio.wait({polling}, timeout=_STOP_S)
        await self._listener.stop()

    @contextlib.contextmanager
    def of(self, task_id: UUID) -> Iterator[Ear]:
        """Follow one task for the length of a block; to its end, unless the ear's `seen` is set."""
        ear = Ear()
        ears = self._ears.setdefault(str(task_id), set())
        ears.add(ear)
        try:
            yield ear
        finally:
            ears.discard(ear)
            if not ears:
                self._ears.pop(str(task_id), None)

    async def pages(
        self,
        task_id: UUID,
        *,
        after_seq: int = 0,
        idle_s: float | None = None,
        timeout_s: float | None = None,
        look: Look | None = None,
    ) -> AsyncGenerator[Following, None]:
        """Yield a task's events page by page, those that are there and those that come; the last page has its end.

        Close it (`contextlib.aclosing`) when you leave early.

        Args:
            task_id: The task.
            after_seq: Begin after this event.
            idle_s: Yield a page without events when nothing has happened for so long: time for a heartbeat.
            timeout_s: Longest time for all of it.
            look: What to read with; left out, with the rights of the database's user, patiently.

        Raises:
            TaskNotFound: There is no such task, or no longer.
            WaitTimeout: `timeout_s` is over.
            DatabaseUnavailable: Nobody answered for 15 s.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if timeout_s is None else clock() + timeout_s
        await self.start()
        with self.of(task_id) as ear:
            ear.seen = after_seq
            while True:
                page = await (look or self._look)(task_id, after_seq=ear.seen)
                if page is None:
                    raise TaskNotFound(f"there is no task {task_id}")
                if page.events:
                    ear.seen = page.events[-1].seq
                if page.events or page.is_end:
                    yield page
                if page.is_end:
                    return
                if not page.is_all:
                    continue
                while not await ear.pause(_shorter(idle_s, None if deadline is None else deadline - clock())):
                    if timeout_s is not None and deadline is not None and clock() >= deadline:
                        raise WaitTimeout(task_id, timeout_s)
                    yield Following(page.status, (), is_all=True)

    def call_all(self) -> None:
        """Have every follower look."""
        for ears in self._ears.values():
            for ear in ears:
                ear.call()

    async def _look(self, task_id: UUID, *, after_seq: int) -> Following | None:
        return await patiently(
            lambda: self._tasks.follow(task_id, after_seq=after_seq), patience_s=PATIENCE_S
        )

    def _on_notify(self, _channel: str, payload: str) -> None:
        for task_id in payload.split(" "):
            self._call(task_id)

    def _call(self, task_id: str) -> None:
        for ear in self._ears.get(task_id, ()):
            ear.call()

    async def _poll(self) -> None:
        while True:
            # Up to half of the time is taken off, so that a thousand processes do not look at once.
            await asyncio.sleep(self._poll_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load, guards nothing
            try:
                await self._look_at_all()
            except AgentWorkerError:
                self.call_all()  # whoever follows sees for itself, and knows how long to be patient

    async def _look_at_all(self) -> None:
        seen = {task_id: min(ear.seen for ear in ears) for task_id, ears in self._ears.items()}
        if seen:
            params = {"ids": list(seen), "seqs": list(seen.values())}
            for (task_id,) in await self._db.fetch_all(sql("have_news"), params):
                self._call(task_id)


def _shorter(first_s: float | None, second_s: float | None) -> float | None:
    limits = [limit for limit in (first_s, second_s) if limit is not None]
    return min(limits, default=None)
