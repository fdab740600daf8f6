"""Leases, fences, rescues and the end of a worker."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Queue
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.lanes import whole_level
from agent_worker.processors.echo import Echo
from tests.waiting import eventually
from tests.worker.conftest import SHORT_LEASE, Rows, StartWorker
from tests.worker.processors import BlockLoop, Hang


async def test_drain_lets_running_tasks_finish(start_worker: StartWorker, rows: Rows) -> None:
    hang = Hang()
    async with start_worker(hang) as worker:
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        draining = asyncio.create_task(worker.drain())

        async def is_draining() -> bool:
            return bool(await rows.db.fetch_value("SELECT state = 'draining' FROM agent_worker.workers"))

        await eventually(is_draining)
        later = await rows.insert("hang")
        hang.release.set()
        await draining
    assert await rows.status(task_id) == "completed"
    assert await rows.status(later) == "pending", "a draining worker claims no more"


async def test_drain_gives_back_what_does_not_finish_without_using_up_the_attempt(
    start_worker: StartWorker, rows: Rows
) -> None:
    hang = Hang()
    async with start_worker(hang, shutdown_grace_s=0.1):
        task_id = await rows.insert("hang", max_attempts=1)
        await asyncio.wait_for(hang.started.wait(), 30)
    task = await rows.task(task_id)
    assert (task["status"], task["attempt"], task["worker_id"]) == ("pending", 0, None)


async def test_a_second_signal_ends_the_grace_period(start_worker: StartWorker, rows: Rows) -> None:
    hang, stop_now = Hang(), asyncio.Event()
    async with start_worker(hang, shutdown_grace_s=600) as worker:
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        stop_now.set()
        await asyncio.wait_for(worker.drain(stop_now=stop_now), 30)
    assert await rows.status(task_id) == "pending"


async def test_an_attempt_whose_task_moved_on_is_stopped_and_its_outcome_dropped(
    start_worker: StartWorker, rows: Rows
) -> None:
    class Chatty:
        kind = "chatty"

        def __init__(self) -> None:
            self.stopped = asyncio.Event()

        async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
            try:
                while True:
                    await ctx.emit_text("still here")
                    await asyncio.sleep(0.01)
            finally:
                self.stopped.set()

    chatty = Chatty()
    async with start_worker(chatty):
        task_id = await rows.insert("chatty")
        await rows.reaches(task_id, "processing")
        await rows.db.fetch_all(
            "UPDATE agent_task_requests SET status = 'completed', response_payload = '{\"answer\": \"elsewhere\"}', "
            "finished_at = now() RETURNING id"
        )
        await asyncio.wait_for(chatty.stopped.wait(), 30)
    assert (await rows.task(task_id))["response_payload"] == {"answer": "elsewhere"}


async def test_tasks_of_a_dead_worker_are_run_by_another(start_worker: StartWorker, rows: Rows) -> None:
    hang = Hang()
    async with start_worker(hang, **SHORT_LEASE) as dying, start_worker(Echo()):
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        dying.heartbeat.stop()
        task = await rows.reaches(task_id, "pending")
        assert (task["resume"], task["attempt"]) == ("rescued", 1)
        await dying.claimer.stop()
    assert (await rows.types(task_id))[-1] == "attempt-failed"


async def test_a_worker_that_was_given_up_returns_by_its_next_heartbeat(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Echo()) as worker:
        await rows.db.fetch_all(
            "UPDATE agent_worker.workers SET state = 'lost', stopped_at = now() RETURNING id"
        )

        async def is_back() -> bool:
            return bool(await rows.db.fetch_value("SELECT stopped_at IS NULL FROM agent_worker.workers"))

        await eventually(is_back)
        await rows.db.fetch_all("DELETE FROM agent_worker.workers RETURNING id")

        async def is_entered() -> bool:
            return bool(await rows.db.fetch_value("SELECT count(*) = 1 FROM agent_worker.workers"))

        await eventually(is_entered)
        assert worker.why_not_ready() is None


async def test_a_blocked_event_loop_keeps_its_lease(
    start_worker: StartWorker, rows: Rows, database_url: str
) -> None:
    rescued: list[Any] = []
    blocked, done = threading.Event(), threading.Event()

    def rescue_all_the_time() -> None:
        with psycopg.connect(database_url, autocommit=True) as conn:
            blocked.wait(30)
            while not done.wait(0.1):
                rescued.extend(conn.execute("SELECT * FROM agent_worker.rescue(100)").fetchall())

    class Announced(BlockLoop):
        async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
            blocked.set()
            return await super().process(task, ctx)

    rescuer = threading.Thread(target=rescue_all_the_time)
    rescuer.start()
    try:
        async with start_worker(Announced(), lease_s=3.0):
            task_id = await rows.insert("block-loop", {"s": 4.5})  # half as long again as the lease
            task = await rows.reaches(task_id, "completed")
    finally:
        done.set()
        rescuer.join()
    assert [row for row in rescued if row[0] is not None] == []
    assert task["attempt"] == 1


async def test_two_living_workers_cannot_have_one_name(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Echo()) as first:
        twin = dataclasses.replace(first.identity, id=uuid4(), pid=2)
        with pytest.raises(ConfigurationError, match="name is taken by"):
            await Fleet(rows.db).register(twin)
    await Fleet(rows.db).register(twin)  # the first has left


async def test_a_lease_shorter_than_three_heartbeats_is_refused(start_worker: StartWorker) -> None:
    with pytest.raises(ConfigurationError, match="three heartbeats"):
        async with start_worker(Echo(), heartbeat_s=1, lease_s=2):
            pass


async def test_every_part_may_be_stopped_twice_or_unstarted(start_worker: StartWorker) -> None:
    async with start_worker(Echo()) as worker:
        parts = [
            worker.claimer,
            worker.canceller,
            worker.rescuer,
            worker.scheduler,
            worker.recorder,
            worker.listener,
        ]
        for part in parts:
            await part.start()
        for part in parts:
            await part.stop()
            await part.stop()
        worker.heartbeat.stop()
        worker.heartbeat.stop()
        await worker.drain()
        await worker.drain()


async def test_tasks_whose_claim_was_not_heard_of_are_given_back_and_run(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Echo(), lease_s=60) as worker:
        await worker.claimer.stop()
        task_id = await rows.insert("echo", {"prompt": "hello"}, max_attempts=1)
        # Commits; the answer goes elsewhere.
        await Queue(rows.db, worker.identity.id).claim([whole_level("echo", 0)], 1)
        worker.claimer._next_stocktaking = 0.0
        await worker.claimer.start()
        task = await rows.reaches(task_id, "completed")
    assert task["attempt"] == 1


async def test_a_worker_that_leaves_holds_nothing(start_worker: StartWorker, rows: Rows) -> None:
    task_id = await rows.insert("nobody-runs-this", max_attempts=1)
    async with start_worker(Echo()) as worker:
        await Queue(rows.db, worker.identity.id).claim([whole_level("nobody-runs-this", 0)], 1)
        assert await rows.status(task_id) == "processing"
    task = await rows.task(task_id)
    assert (task["status"], task["attempt"]) == ("pending", 0)


async def test_a_worker_whose_name_was_taken_claims_nothing(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Echo()) as worker:
        twin = dataclasses.replace(worker.identity, id=uuid4())
        await rows.db.fetch_all("DELETE FROM agent_worker.workers RETURNING id")
        await Fleet(rows.db).register(twin)

        async def has_noticed() -> bool:
            return "taken this worker's name" in str(worker.why_not_ready())

        await eventually(has_noticed)
        await worker.claimer.stop()  # the round under way began before
        task_id = await rows.insert("echo", {"prompt": "hello"})
        assert await worker.claimer.run_once() == 0
        assert await rows.status(task_id) == "pending"
