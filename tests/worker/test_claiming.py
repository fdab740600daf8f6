"""When a worker looks for tasks, and when those it found begin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import uuid4

from agent_worker.db.connection import Database
from agent_worker.db.link import PostgresLink
from agent_worker.db.queue import Claimed, Queue
from agent_worker.domain.lanes import Span, whole_level
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


def claimer_of(
    queue: Queue, db: Database, dispatch: Callable[[Task], None], *, stocktaking_s: float = 30.0
) -> Claimer:
    """A claimer alone, with room for ten tasks and a worker that knows of none."""
    ears = PostgresLink(db).ears(on_notify=lambda *_: None, on_up=lambda: None)
    return Claimer(
        queue,
        Polling(ears, ["noop"], interval_s=0.1),
        kinds=["noop"],
        slots=10,
        free_slots=lambda: 10,
        dispatch=dispatch,
        is_known=lambda _: False,
        turn=asyncio.Lock(),
        interval_s=0.1,
        stocktaking_s=stocktaking_s,
    )


async def test_a_claimed_task_begins_before_the_next_look(db: Database, rows: Rows) -> None:
    """The next look costs as much as all else between the insert and the handler."""
    queue = CountingQueue(db, uuid4())
    looks_before: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def attempt() -> None:
        looks_before.set_result(queue.looks)

    attempts: list[asyncio.Task[None]] = []
    claimer = claimer_of(queue, db, lambda _: attempts.append(asyncio.create_task(attempt())))
    await rows.insert("noop")
    await claimer.start()
    try:
        async with asyncio.timeout(30):
            assert await looks_before == 1
    finally:
        await claimer.stop()
    assert len(attempts) == 1


async def test_what_a_worker_holds_and_does_not_know_comes_back_while_it_lives(
    db: Database, rows: Rows
) -> None:
    """Its heartbeat keeps the lease, so nobody else would take the task back."""
    queue = Queue(db, uuid4())
    dispatched: asyncio.Queue[Task] = asyncio.Queue()
    claimer = claimer_of(queue, db, dispatched.put_nowait, stocktaking_s=0.2)
    task_id = await rows.insert("noop")
    await queue.claim([whole_level("noop", 0)], 1)
    await claimer.start()
    try:
        async with asyncio.timeout(30):
            task = await dispatched.get()
    finally:
        await claimer.stop()
    assert (task.id, task.attempt) == (task_id, 1)
