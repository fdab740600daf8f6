"""When a worker looks for tasks, and when those it found begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from agent_worker.db.connection import Database
from agent_worker.db.link import PostgresLink
from agent_worker.db.queue import Claimed, Queue
from agent_worker.domain.lanes import Span
from agent_worker.domain.task import Task
from agent_worker.worker.claimer import Claimer
from agent_worker.worker.polling import Polling
from tests.worker.conftest import Rows


class CountingQueue(Queue):
    """Counts the looks that have begun."""

    looks = 0

    async def claim(self, spans: Sequence[Span], limit: int) -> Claimed:
        self.looks += 1
        return await super().claim(spans, limit)


async def test_a_claimed_task_begins_before_the_next_look(db: Database, rows: Rows) -> None:
    """The next look costs as much as all else between the insert and the handler."""
    queue = CountingQueue(db, uuid4())
    ears = PostgresLink(db).ears(on_notify=lambda *_: None, on_up=lambda: None)
    looks_before: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def attempt() -> None:
        looks_before.set_result(queue.looks)

    attempts: list[asyncio.Task[None]] = []

    def dispatch(_: Task) -> None:
        attempts.append(asyncio.create_task(attempt()))

    claimer = Claimer(
        queue,
        Polling(ears, ["noop"], interval_s=1.0),
        kinds=["noop"],
        slots=10,
        free_slots=lambda: 10,
        dispatch=dispatch,
        is_known=lambda _: True,
        turn=asyncio.Lock(),
        interval_s=1.0,
    )
    await rows.insert("noop")
    await claimer.start()
    try:
        async with asyncio.timeout(30):
            assert await looks_before == 1
    finally:
        await claimer.stop()
    assert len(attempts) == 1
