"""Every write of a worker names task, attempt and worker, and changes nothing once the task has moved on."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.queue import Batch, Queue, Said, Spawned
from agent_worker.domain.events import Event
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.domain.task import Lease
from agent_worker.testing.postgres import read_task
from tests.db.steps import ask, claim_new, final, finish, rows, value

Write = Callable[[Lease], Batch]

WRITES: dict[str, Write] = {
    "finish": lambda lease: Batch(finals=[final(lease)]),
    "retry": lambda lease: Batch(retries=[(lease, 0.0)]),
    "release": lambda lease: Batch(releases=[(lease, 0.0)]),
    "postpone": lambda lease: Batch(releases=[(lease, 60.0)]),
    "events": lambda lease: Batch(events=[Said(lease, 1, Event("text-delta", {"delta": "late"}))]),
    "progress": lambda lease: Batch(progress={lease: {"percent": 50}}),
    "checkpoint": lambda lease: Batch(checkpoints=[(lease, Checkpoint("a", Call.VALUE, 1))]),
    "spawn": lambda lease: Batch(children=[Spawned(lease, "c", uuid4(), "echo", {})]),
    "park": lambda lease: Batch(parks=[(lease, ask())]),
}

each_write = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


async def _everything(db: Database, task_id: UUID) -> list[object]:
    """Return all that a write could have changed."""
    return [
        await read_task(db, task_id),
        await rows(db, "SELECT * FROM public.agent_task_events"),
        await rows(db, "SELECT * FROM public.human_tasks"),
        await rows(db, "SELECT * FROM agent_worker.checkpoints"),
        await value(db, "SELECT count(*) FROM public.agent_task_requests"),
    ]


@each_write
async def test_a_write_by_the_holder_counts(db: Database, queue: Queue, write: Write) -> None:
    lease = await claim_new(db, queue)
    before = await _everything(db, lease.task_id)

    assert await queue.write(write(lease)) == set()
    assert await _everything(db, lease.task_id) != before


@each_write
async def test_a_write_of_another_attempt_changes_nothing(db: Database, queue: Queue, write: Write) -> None:
    lease = await claim_new(db, queue)
    before = await _everything(db, lease.task_id)
    late = Lease(lease.task_id, lease.attempt + 1, lease.worker_id)

    assert await queue.write(write(late)) == {late}
    assert await _everything(db, lease.task_id) == before


@each_write
async def test_a_write_by_another_worker_changes_nothing(db: Database, queue: Queue, write: Write) -> None:
    lease = await claim_new(db, queue)
    before = await _everything(db, lease.task_id)
    stranger = Queue(db, uuid4())
    stolen = Lease(lease.task_id, lease.attempt, stranger.worker_id)

    assert await stranger.write(write(stolen)) == {stolen}
    assert await _everything(db, lease.task_id) == before


@each_write
async def test_a_write_after_the_outcome_changes_nothing(db: Database, queue: Queue, write: Write) -> None:
    lease = await claim_new(db, queue)
    await finish(queue, lease, "failed")
    before = await _everything(db, lease.task_id)

    assert await queue.write(write(lease)) == {lease}
    assert await _everything(db, lease.task_id) == before


@each_write
async def test_a_write_for_a_deleted_task_changes_nothing(db: Database, queue: Queue, write: Write) -> None:
    gone = Lease(uuid4(), 1, queue.worker_id)

    assert await queue.write(write(gone)) == {gone}
    assert await value(db, "SELECT count(*) FROM public.agent_task_requests") == 0


async def test_one_lost_lease_does_not_hold_back_the_rest_of_a_batch(db: Database, queue: Queue) -> None:
    lost = await claim_new(db, queue)
    await finish(queue, lost, "failed")
    kept = await claim_new(db, queue)

    result = await queue.write(
        Batch(
            events=[Said(lease, 1, Event("text-delta", {"delta": "x"})) for lease in (lost, kept)],
            finals=[final(lost), final(kept)],
        )
    )

    assert result == {lost}
    assert (await read_task(db, lost.task_id))["status"] == "failed"
    assert (await read_task(db, kept.task_id))["status"] == "completed"
    assert await rows(db, "SELECT task_id, seq FROM public.agent_task_events") == [(kept.task_id, 1)]


async def test_an_outcome_sent_again_after_a_cut_connection_is_recognised(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    batch = Batch(events=[Said(lease, 1, Event("text-delta", {"delta": "x"}))], finals=[final(lease)])

    assert await queue.write(batch) == set()
    first = await read_task(db, lease.task_id)

    assert await queue.write(batch) == set()
    assert await read_task(db, lease.task_id) == first
    assert len(await rows(db, "SELECT 1 FROM public.agent_task_events")) == 1


async def test_the_same_outcome_by_another_attempt_is_not_recognised(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await finish(queue, lease)
    other = Lease(lease.task_id, 2, lease.worker_id)

    assert await finish(queue, other) == {other}
