"""A person in a table editor sets a task back to pending, or breaks a rule and is told which."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Batch, Queue
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import Connect, ask, claim_all, claim_new, finish, park, rows, run, status_of


async def reset(db: Database, task_id: UUID) -> None:
    await run(db, "UPDATE public.agent_task_requests SET status = 'pending' WHERE id = %(id)s", id=task_id)


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_a_task_that_ended_starts_over_with_attempts_of_its_own(
    db: Database, queue: Queue, status: str
) -> None:
    lease = await claim_new(db, queue, max_attempts=2)
    await queue.write(Batch(progress={lease: {"percent": 50}}))
    await finish(queue, lease, status)

    await reset(db, lease.task_id)

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["max_attempts"]) == ("pending", 1, 3)
    cleared = (
        "response_payload",
        "cancel_requested_at",
        "progress",
        "worker_id",
        "started_at",
        "finished_at",
    )
    assert [row[column] for column in cleared] == [None] * len(cleared)
    (task,) = await claim_all(queue)
    assert task.attempt == 2


async def test_a_task_reset_at_its_last_attempt_gets_one_more(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue, max_attempts=1)

    await reset(db, lease.task_id)

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["max_attempts"], row["worker_id"]) == ("pending", 1, 2, None)
    (task,) = await claim_all(Queue(db, uuid4()))
    assert task.attempt == 2


async def test_a_task_reset_while_it_runs_is_lost_to_its_worker(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue, max_attempts=3)

    await reset(db, lease.task_id)

    row = await read_task(db, lease.task_id)
    assert (row["worker_id"], row["started_at"], row["max_attempts"]) == (None, None, 3)
    assert await finish(queue, lease) == {lease}
    assert await status_of(db, lease.task_id) == "pending"


async def test_a_task_reset_by_hand_queues_at_the_end_above_every_watermark(
    db: Database, queue: Queue
) -> None:
    lease = await claim_new(db, queue)
    await finish(queue, lease, "failed")
    other = await insert_task(db)
    watermark = (await read_task(db, other))["seq"]

    await reset(db, lease.task_id)

    tasks = await queue.claim([whole_level("echo", 0, watermark=watermark)], 10)
    assert [task.id for task in tasks] == [other, lease.task_id]


async def test_a_task_reset_many_times_keeps_its_allowance(db: Database, queue: Queue) -> None:
    task_id = await insert_task(db, max_attempts=25)
    for _ in range(3):
        await claim_all(queue)
        await run(db, "UPDATE public.agent_task_requests SET status = 'failed'")
        await reset(db, task_id)

    row = await read_task(db, task_id)
    assert (row["attempt"], row["max_attempts"]) == (3, 28)


async def test_a_reset_keeps_finished_steps_and_asks_again_what_nobody_answered(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    lease = await claim_new(db, queue)
    await queue.write(Batch(checkpoints=[(lease, Checkpoint("search", Call.STEP, 1))]))
    await park(queue, lease, ask(timeout_s=0.0))
    await fleet.expire_questions(limit=10)
    (task,) = await claim_all(queue)
    await run(db, "UPDATE public.agent_task_requests SET status = 'failed', finished_at = now()")

    await reset(db, lease.task_id)

    assert set(await queue.load_checkpoints(task.id)) == {"search"}
    assert await rows(db, "SELECT 1 FROM public.human_tasks") == []


async def test_a_reset_keeps_answers(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    await run(db, "UPDATE public.human_tasks SET response = '{\"approved\": true}'")
    await claim_all(queue)
    await run(db, "UPDATE public.agent_task_requests SET status = 'failed', finished_at = now()")

    await reset(db, lease.task_id)

    assert (await queue.load_checkpoints(lease.task_id))["ok"].is_done


async def test_a_reset_rings_for_idle_workers(db: Database, queue: Queue, connect: Connect) -> None:
    lease = await claim_new(db, queue)
    await finish(queue, lease, "failed")
    ear = await connect()
    await ear.execute("LISTEN agent_worker")

    await reset(db, lease.task_id)

    async for note in ear.notifies(timeout=30, stop_after=1):
        assert note.payload == "task"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("status = 'queued'", "status must be pending when a task is inserted"),
        ("status = 'processing'", "status processing needs a worker_id"),
        ("attempt = 3", "status pending needs an attempt below max_attempts"),
        ("attempt = 4", "attempt must not exceed max_attempts"),
        ("max_attempts = 26", "max_attempts must be 1 to 25"),
    ],
)
async def test_an_edit_that_would_harm_others_is_refused_with_a_sentence(
    db: Database, change: str, sentence: str
) -> None:
    await insert_task(db, max_attempts=3)

    with pytest.raises(psycopg.errors.CheckViolation, match=sentence):
        await run(db, f"UPDATE public.agent_task_requests SET {change}")
