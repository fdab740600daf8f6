"""The database goes away under a worker, without a word."""

from __future__ import annotations

import asyncio
import time

import pytest

from agent_worker import Task, TaskContext
from agent_worker.db.queue import Queue
from agent_worker.domain.json import JsonObject
from agent_worker.domain.lanes import whole_level
from tests.client.by_hand import Wire
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker
from tests.worker.processors import Hang, Say

pytestmark = pytest.mark.slow


async def test_a_half_open_connection_does_not_keep_a_worker_from_leaving(
    start_worker: StartWorker, rows: Rows, database_url: str
) -> None:
    hang = Hang()
    async with Wire(database_url).open() as wire:
        async with start_worker(hang, url=wire.url, shutdown_grace_s=0.5):
            task_id = await rows.insert("hang")
            await asyncio.wait_for(hang.started.wait(), 30)
            wire.freeze()
            began = time.monotonic()
        assert time.monotonic() - began < 60, "bounded, though nobody answers"
        assert hang.cancelled.is_set()
    assert await rows.status(task_id) == "processing", (
        "given back by the rescue, since nobody heard the worker leave"
    )


async def test_a_result_of_an_outage_is_written_when_the_database_is_back(
    start_worker: StartWorker, rows: Rows, database_url: str
) -> None:
    hang = Hang()
    async with (
        Wire(database_url).open() as wire,
        start_worker(hang, Say(), url=wire.url, lease_s=120, heartbeat_s=1),
    ):
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        wire.freeze()
        hang.release.set()
        await asyncio.wait_for(wire.holds_bytes.wait(), 30)
        assert await rows.status(task_id) == "processing"
        wire.thaw()
        task = await rows.reaches(task_id, "completed", timeout_s=60)
        assert (task["attempt"], task["response_payload"]) == (1, {"answer": "released"})
        await rows.reaches(await rows.insert("say", {"text": "back again"}), "completed", timeout_s=60)


async def test_a_question_whose_reply_was_lost_does_not_take_the_next_attempt_away(
    start_worker: StartWorker, rows: Rows, database_url: str
) -> None:
    """A park is sent again after a cut; answered meanwhile, the task may be this worker's again, under the same lease."""

    class Asks:
        kind = "asks"

        def __init__(self) -> None:
            self.began, self.go_on = asyncio.Event(), asyncio.Event()
            self.answered = 0

        async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
            self.began.set()
            await self.go_on.wait()
            answer = await ctx.ask_human("ok", "Go on?")
            self.answered += 1
            return {"answer": answer["approved"]}

    asks = Asks()
    async with Wire(database_url).open() as wire, start_worker(asks, url=wire.url, lease_s=60) as worker:
        task_id = await rows.insert("asks")
        await asyncio.wait_for(asks.began.wait(), 30)
        await worker.claimer.stop()
        wire.lose_replies(after=b"COMMIT")
        asks.go_on.set()
        await rows.reaches(task_id, "waiting")
        await rows.answer(task_id, {"approved": True})
        (again,) = await Queue(rows.db, worker.identity.id).claim([whole_level("asks", 0)], 1)
        async with rows.db.connection() as holding, holding.transaction():
            await holding.execute("SELECT FROM agent_task_requests WHERE id = %s FOR UPDATE", [task_id])
            wire.cut()
            wire.keep_replies()

            async def is_sent_again() -> bool:
                query = (
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND wait_event_type = 'Lock'"
                )
                return bool(await rows.db.fetch_value(query))

            await eventually(is_sent_again)
            worker.executor.start(again)
        await worker.claimer.start()
        await rows.reaches(task_id, "completed", timeout_s=30)
    assert asks.answered == 1
