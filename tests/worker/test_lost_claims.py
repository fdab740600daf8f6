"""Claims that a crash of the server takes back: their commit does not wait for the disk, so a claim may be forgotten.

The task is pending again, and the worker that runs it may claim it anew, with the same lease. What its first attempt says
is then written whole, or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, LiteralString
from uuid import UUID, uuid4

from agent_worker.db.connection import Database
from agent_worker.db.queue import Queue
from agent_worker.db.transport import Params, Transport
from agent_worker.db.transport import Rows as Fetched
from agent_worker.domain.events import Event
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.outcome import Completed
from agent_worker.domain.task import Lease
from agent_worker.worker.recorder import Fate, Recorder
from agent_worker.worker.streams import RowStream
from tests.worker.conftest import Rows, StartWorker

FORGET: LiteralString = """
    SET session_replication_role = replica;
    UPDATE agent_task_requests SET status = 'pending', attempt = 0, worker_id = NULL, started_at = NULL, resume = NULL;
    SET session_replication_role = DEFAULT;
"""
"""What is left of a task whose claim is forgotten: it was never claimed."""


class LateAnswers:
    """The way to the database, on which the answers of single statements come late."""

    def __init__(self, db: Database, before_answer: Callable[[], Awaitable[None]]) -> None:
        self._db = db
        self._before_answer = before_answer
        self.target = db.target

    async def call(self, name: LiteralString, params: Params) -> Fetched:
        answer = await self._db.call(name, params)
        await self._before_answer()
        return answer

    def together(self) -> AbstractAsyncContextManager[Transport]:
        return self._db.together()


async def forget_claims(db: Database) -> None:
    async with db.connection() as conn:
        await conn.execute(FORGET)


async def claim(db: Database, worker_id: UUID, kind: str) -> Lease:
    (task,) = await Queue(db, worker_id).claim([whole_level(kind, 0)], 1)
    return Lease(task.id, task.attempt, worker_id)


async def test_the_end_of_a_stream_whose_beginning_was_refused_is_refused_too(
    db: Database, rows: Rows
) -> None:
    worker_id = uuid4()
    fates: list[object] = []
    task_id = await rows.insert("anything")
    lease = await claim(db, worker_id, "anything")
    await forget_claims(db)
    is_claimed = asyncio.Event()

    async def end_and_claim_anew() -> None:
        recorder.emit(lease, Event("part", {"number": 2}))
        recorder.end(lease, Completed('{"answer": "of the first attempt"}'), fates.append)
        assert await claim(db, worker_id, "anything") == lease
        is_claimed.set()

    recorder = Recorder(
        Queue(LateAnswers(db, end_and_claim_anew), worker_id),
        stream=RowStream,
        on_lost=lambda _: None,
        on_delayed=lambda: None,
    )
    await recorder.start()
    recorder.open(lease, 0)
    recorder.emit(lease, Event("part", {"number": 1}))
    await asyncio.wait_for(is_claimed.wait(), 30)
    await recorder.flush(10)
    await recorder.stop()

    assert fates == [Fate.LOST]
    assert await rows.events(task_id) == []
    assert await rows.status(task_id) == "processing", "the second claim goes on"


async def test_a_task_that_its_worker_claims_anew_is_told_whole(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    class Talk:
        kind = "talk"

        def __init__(self) -> None:
            self.runs = 0
            self.speaks = asyncio.Event()

        async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
            self.runs += 1
            if self.runs > 1:
                return {"answer": "again"}
            while True:
                await ctx.emit_text("one more ")
                self.speaks.set()
                await asyncio.sleep(0.001)

    talk = Talk()
    async with start_worker(talk):
        task_id = await rows.insert("talk")
        await asyncio.wait_for(talk.speaks.wait(), 30)
        await forget_claims(db)
        task = await rows.reaches(task_id, "completed")
    assert (task["response_payload"]["answer"], task["attempt"], talk.runs) == ("again", 1, 2)
    seqs = await db.fetch_all("SELECT seq FROM agent_task_events WHERE task_id = %s ORDER BY seq", [task_id])
    assert [seq for (seq,) in seqs] == list(range(1, len(seqs) + 1))
