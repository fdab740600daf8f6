"""Tasks of dead workers are taken back; tasks of living ones are not touched."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet, RescueResult
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.domain.events import Event
from agent_worker.domain.task import Resume
from agent_worker.testing.postgres import insert_task, read_events, read_task
from tests.db.steps import claim_all, claim_new, finish, register, rows, run, silence, status_of, value
from tests.waiting import eventually


async def test_rescue_returns_a_dead_workers_task_and_counts_the_attempt(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id)
    lease = await claim_new(db, queue)
    await silence(db, queue.worker_id)

    assert await fleet.rescue(limit=10) == RescueResult(retried=1, failed=0, cancelled=0)

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["worker_id"]) == ("pending", 1, None)
    (task,) = await claim_all(Queue(db, uuid4()))
    assert (task.attempt, task.resume) == (2, Resume.RESCUED)


async def test_rescue_leaves_the_tasks_of_a_living_worker_alone(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id, lease_s=30.0)
    lease = await claim_new(db, queue)
    await silence(db, queue.worker_id, seconds=29.0)
    before = await read_task(db, lease.task_id)

    assert (await fleet.rescue(limit=10)).total == 0
    assert await read_task(db, lease.task_id) == before


async def test_rescue_leaves_the_tasks_of_a_draining_worker_alone(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id)
    await claim_new(db, queue)
    await fleet.sign_off(queue.worker_id, "draining")

    assert (await fleet.rescue(limit=10)).total == 0


async def test_a_worker_that_leaves_gives_back_what_it_holds_without_using_up_attempts(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id)
    lease = await claim_new(db, queue, max_attempts=1)

    await fleet.sign_off(queue.worker_id, "stopped")

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["worker_id"]) == ("pending", 0, None)
    assert (await fleet.rescue(limit=10)).total == 0


async def test_rescue_takes_what_a_worker_claimed_after_it_left(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id)
    await fleet.sign_off(queue.worker_id, "stopped")
    await claim_new(db, queue)

    assert (await fleet.rescue(limit=10)).retried == 1


async def test_rescue_takes_from_a_holder_that_has_no_row(db: Database, queue: Queue, fleet: Fleet) -> None:
    lease = await claim_new(db, queue)

    assert (await fleet.rescue(limit=10)).retried == 1
    assert await status_of(db, lease.task_id) == "pending"


async def test_rescue_fails_a_task_when_no_attempt_is_left(db: Database, queue: Queue, fleet: Fleet) -> None:
    lease = await claim_new(db, queue, max_attempts=1)

    assert await fleet.rescue(limit=10) == RescueResult(retried=0, failed=1, cancelled=0)

    row = await read_task(db, lease.task_id)
    assert row["status"] == "failed"
    assert row["finished_at"] is not None
    assert row["response_payload"] == {
        "error": "The worker that ran this task stopped responding, and no attempt is left.",
        "code": "worker_lost",
        "retryable": True,
    }


async def test_rescue_ends_a_task_that_somebody_cancelled_meanwhile(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    lease = await claim_new(db, queue)
    await run(db, "UPDATE public.agent_task_requests SET cancel_requested_at = now()")

    assert await fleet.rescue(limit=10) == RescueResult(retried=0, failed=0, cancelled=1)

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["response_payload"]["code"]) == ("cancelled", "cancelled")


async def test_rescue_says_in_the_stream_that_the_attempt_is_over(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    lease = await claim_new(db, queue)
    await queue.write(Batch(events=[Said(lease, 1, Event("text-delta", {"delta": "Hel"}))]))

    await fleet.rescue(limit=10)

    _, told = await read_events(db, lease.task_id)
    assert told == (
        2,
        "attempt-failed",
        {
            "attempt": 1,
            "code": "worker_lost",
            "error": "The worker that ran this attempt stopped responding.",
            "retryInS": 0,
        },
    )


async def test_rescue_closes_the_stream_when_no_attempt_is_left(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    lease = await claim_new(db, queue, max_attempts=1)

    await fleet.rescue(limit=10)

    ((seq, kind, data),) = await read_events(db, lease.task_id)
    assert (seq, kind, data["code"], data["retryable"]) == (1, "error", "worker_lost", True)


async def test_rescue_leaves_what_others_hold_finished_or_waiting(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id)
    done = await claim_new(db, queue)
    await finish(queue, done)
    dead = Queue(db, uuid4())
    lost = await claim_new(db, dead)
    held = await claim_new(db, queue)

    assert (await fleet.rescue(limit=10)).total == 1

    assert await status_of(db, done.task_id) == "completed"
    assert await status_of(db, held.task_id) == "processing"
    assert await status_of(db, lost.task_id) == "pending"


async def test_rescue_takes_at_most_its_limit(db: Database, queue: Queue, fleet: Fleet) -> None:
    for _ in range(5):
        await insert_task(db)
    await claim_all(queue)

    assert [(await fleet.rescue(limit=2)).total for _ in range(4)] == [2, 2, 1, 0]


async def test_rescue_by_many_workers_at_once_takes_each_task_once(db: Database, fleet: Fleet) -> None:
    for _ in range(40):
        await insert_task(db)
    for _ in range(4):
        await claim_all(Queue(db, uuid4()), limit=10)

    results = await asyncio.gather(*(fleet.rescue(limit=100) for _ in range(4)))

    assert sum(result.retried for result in results) == 40
    assert await value(db, "SELECT count(*) FROM public.agent_task_events") == 40


async def test_rescue_waits_for_nobody_who_is_writing(db: Database, queue: Queue, fleet: Fleet) -> None:
    lease = await claim_new(db, queue)

    async with db.connection() as conn, conn.transaction():
        await conn.execute(
            "SELECT 1 FROM public.agent_task_requests WHERE id = %s FOR NO KEY UPDATE", [lease.task_id]
        )
        assert (await fleet.rescue(limit=10)).total == 0

    assert (await fleet.rescue(limit=10)).total == 1


async def test_rescue_marks_silent_workers_as_lost(db: Database, fleet: Fleet) -> None:
    silent = await register(fleet)
    living = await register(fleet)
    await silence(db, silent.id)

    await fleet.rescue(limit=10)

    states = dict(await rows(db, "SELECT id, state FROM agent_worker.workers"))
    assert states == {silent.id: "lost", living.id: "running"}


@pytest.mark.slow
async def test_rescue_takes_a_task_whose_worker_fell_silent_in_the_middle_of_a_write(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    """A host without power says no good-bye: its session, and the locks of its transaction, stay."""
    await register(fleet, queue.worker_id)
    lease = await claim_new(db, queue)
    await silence(db, queue.worker_id)

    async def is_rescued() -> bool:
        return (await fleet.rescue(limit=10)).total == 1

    async def fall_silent() -> None:
        async with db.together() as calls:
            written = {"ids": [lease.task_id], "attempts": [lease.attempt], "progress": ["{}"]}
            await calls.call("report_progress", {"worker_id": queue.worker_id, **written})
            assert not await is_rescued(), "locked"
            await eventually(is_rescued, timeout_s=15)

    with pytest.raises(DatabaseUnavailable):
        await fall_silent()
    assert await status_of(db, lease.task_id) == "pending"
