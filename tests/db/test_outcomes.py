"""How an attempt ends: an outcome, another attempt, or the task given back."""

from __future__ import annotations

from uuid import uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queries import sql
from agent_worker.db.queue import Batch, Final, Queue
from agent_worker.domain.errors import ValueRefused
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.domain.task import Resume, TaskStatus
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import Connect, claim_all, claim_new, final, finish, lease_of, run, status_of


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_finish_writes_status_and_response_in_one_row_version(
    db: Database, queue: Queue, status: str
) -> None:
    lease = await claim_new(db, queue)

    assert await finish(queue, lease, status) == set()

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["response_payload"]) == (status, {"answer": "yes"})
    assert row["finished_at"] == row["updated_at"] >= row["started_at"]


async def test_finish_writes_many_tasks_at_once(db: Database, queue: Queue) -> None:
    for _ in range(50):
        await insert_task(db)
    tasks = await claim_all(queue)
    statuses = [TaskStatus.COMPLETED, TaskStatus.FAILED]
    finals = [Final(lease_of(task, queue), statuses[n % 2], f'{{"n": {n}}}') for n, task in enumerate(tasks)]

    assert await queue.write(Batch(finals=finals)) == set()

    for n, task in enumerate(tasks):
        row = await read_task(db, task.id)
        assert (row["status"], row["response_payload"]) == (statuses[n % 2].value, {"n": n})


async def test_retry_without_delay_puts_the_task_at_the_end_of_its_lane(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    other = await insert_task(db)

    assert await queue.write(Batch(retries=[(lease, 0.0)])) == set()

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["worker_id"], row["run_at"]) == ("pending", 1, None, None)
    tasks = await claim_all(queue)
    assert [task.id for task in tasks] == [other, lease.task_id]
    assert (tasks[1].attempt, tasks[1].resume) == (2, Resume.RETRY)


async def test_retry_with_a_delay_waits_to_be_staged(db: Database, queue: Queue, fleet: Fleet) -> None:
    lease = await claim_new(db, queue)

    await queue.write(Batch(retries=[(lease, 90.0)]))

    row = await read_task(db, lease.task_id)
    assert (row["run_at"] - row["updated_at"]).total_seconds() == 90.0
    assert await claim_all(queue) == []
    early = await fleet.stage(limit=10)
    assert early.staged == 0
    assert early.next_due_s is not None
    assert 80 < early.next_due_s <= 90

    await run(db, "UPDATE public.agent_task_requests SET run_at = now()")
    assert (await fleet.stage(limit=10)).staged == 1
    (task,) = await claim_all(queue)
    assert (task.attempt, task.resume) == (2, Resume.RETRY)


async def test_retry_of_a_task_that_somebody_cancelled_ends_it(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await run(db, "UPDATE public.agent_task_requests SET cancel_requested_at = now()")

    assert await queue.write(Batch(retries=[(lease, 0.0)])) == set()

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["response_payload"]["code"]) == ("cancelled", "cancelled")
    assert row["finished_at"] is not None


async def test_release_does_not_use_up_an_attempt(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue, max_attempts=1)

    assert await queue.write(Batch(releases=[(lease, 0.0)])) == set()

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["max_attempts"], row["worker_id"]) == ("pending", 0, 1, None)
    (task,) = await claim_all(Queue(db, uuid4()))
    assert (task.attempt, task.resume) == (1, Resume.RESCUED)


async def test_release_of_a_task_that_somebody_cancelled_ends_it(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await run(db, "UPDATE public.agent_task_requests SET cancel_requested_at = now()")

    await queue.write(Batch(releases=[(lease, 0.0)]))

    assert await status_of(db, lease.task_id) == "cancelled"


async def test_a_postponed_task_keeps_its_attempts_and_waits_to_be_staged(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    lease = await claim_new(db, queue, max_attempts=1)
    for _ in range(3):
        assert await queue.write(Batch(releases=[(lease, 90.0)])) == set()
        row = await read_task(db, lease.task_id)
        assert (row["status"], row["attempt"], row["worker_id"]) == ("pending", 0, None)
        assert (row["run_at"] - row["updated_at"]).total_seconds() == 90.0
        assert await claim_all(queue) == []

        await run(db, "UPDATE public.agent_task_requests SET run_at = now()")
        assert (await fleet.stage(limit=10)).staged == 1
        (task,) = await claim_all(queue)
        assert (task.id, task.attempt, task.resume) == (lease.task_id, 1, Resume.POSTPONED)


async def test_a_late_write_of_a_postponed_attempt_changes_nothing(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await queue.write(Batch(releases=[(lease, 90.0)]))
    before = await read_task(db, lease.task_id)

    assert await queue.write(Batch(releases=[(lease, 5.0)])) == {lease}
    assert await finish(queue, lease) == {lease}
    assert await read_task(db, lease.task_id) == before


async def test_a_postponed_task_can_be_cancelled(db: Database, queue: Queue, fleet: Fleet) -> None:
    lease = await claim_new(db, queue)
    await queue.write(Batch(releases=[(lease, 90.0)]))

    await run(db, "UPDATE public.agent_task_requests SET cancel_requested_at = now(), run_at = now()")

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["response_payload"]["code"]) == ("cancelled", "cancelled")
    assert (await fleet.stage(limit=10)).staged == 0


@pytest.mark.parametrize(
    ("delays_s", "rings"),
    [([0.0], {"task echo"}), ([60.0], {"schedule"}), ([0.0, 60.0], {"task echo", "schedule"})],
    ids=["at once", "later", "both"],
)
async def test_a_release_rings_for_the_queue_or_the_scheduler(
    db: Database, queue: Queue, connect: Connect, delays_s: list[float], rings: set[str]
) -> None:
    for _ in delays_s:
        await insert_task(db)
    leases = [lease_of(task, queue) for task in await claim_all(queue)]
    ear = await connect()
    await ear.execute("LISTEN agent_worker")
    await ear.execute(sql("arm_bell"), {"kinds": ["echo"]})

    await queue.write(Batch(releases=list(zip(leases, delays_s, strict=True))))
    await run(db, "NOTIFY agent_worker, 'the end'")

    heard = set()
    async for note in ear.notifies(timeout=30):
        if note.payload == "the end":
            break
        heard.add(note.payload)
    assert heard == rings


async def test_progress_is_the_newest_one(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)

    await queue.write(Batch(progress={lease: {"percent": 10, "note": "a"}}))
    await queue.write(Batch(progress={lease: {"percent": 90, "note": "b"}}))

    assert (await read_task(db, lease.task_id))["progress"] == {"percent": 90, "note": "b"}


async def test_checkpoints_outlive_the_attempt_and_the_newest_value_counts(
    db: Database, queue: Queue
) -> None:
    lease = await claim_new(db, queue)
    await queue.write(
        Batch(
            checkpoints=[
                (lease, Checkpoint("page", Call.VALUE, 1)),
                (lease, Checkpoint("page", Call.VALUE, 2)),
                (lease, Checkpoint("search", Call.STEP, {"hits": [1, 2]})),
            ]
        )
    )
    await queue.write(Batch(retries=[(lease, 0.0)]))

    known = await Queue(db, uuid4()).load_checkpoints(lease.task_id)

    assert known == {
        "page": Checkpoint("page", Call.VALUE, 2),
        "search": Checkpoint("search", Call.STEP, {"hits": [1, 2]}),
    }


async def test_a_value_that_the_database_refuses_undoes_its_whole_batch(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    too_long = Checkpoint("k" * 256, Call.VALUE, 1)

    with pytest.raises(ValueRefused, match="key must have 1 to 255 characters") as caught:
        await queue.write(Batch(checkpoints=[(lease, too_long)], finals=[final(lease)]))

    assert caught.value.sqlstate == "23514"
    assert await status_of(db, lease.task_id) == "processing"
