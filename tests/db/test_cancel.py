"""A client sets cancel_requested_at: what nobody runs ends at once, what runs is told to its worker."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.pulse import PostgresPulse
from agent_worker.db.queue import Batch, Queue, Spawned
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import (
    Connect,
    ask,
    await_child,
    claim_all,
    claim_new,
    finish,
    lease_of,
    park,
    rows,
    status_of,
    until_blocked,
)


async def cancel(db: Database, task_id: UUID) -> None:
    async with db.connection() as conn:
        await conn.execute(
            "UPDATE public.agent_task_requests SET cancel_requested_at = 'epoch' WHERE id = %s", [task_id]
        )


async def test_cancelling_a_pending_task_ends_it_at_once(db: Database, queue: Queue) -> None:
    task_id = await insert_task(db)

    await cancel(db, task_id)

    row = await read_task(db, task_id)
    assert row["status"] == "cancelled"
    assert row["response_payload"] == {
        "error": "The task was cancelled before it finished.",
        "code": "cancelled",
        "retryable": False,
    }
    assert row["finished_at"] is not None
    assert await claim_all(queue) == []


async def test_the_time_of_the_request_is_the_databases_whatever_the_client_writes(db: Database) -> None:
    task_id = await insert_task(db)

    await cancel(db, task_id)

    row = await read_task(db, task_id)
    assert row["cancel_requested_at"] == row["finished_at"]


async def test_cancelling_a_task_that_runs_leaves_it_to_its_worker(
    db: Database, queue: Queue, database_url: str
) -> None:
    lease = await claim_new(db, queue)
    assert await queue.cancel_requests([lease.task_id]) == []

    await cancel(db, lease.task_id)

    assert await status_of(db, lease.task_id) == "processing"
    assert await queue.cancel_requests([lease.task_id]) == [lease.task_id]
    assert await Queue(db, uuid4()).cancel_requests([lease.task_id]) == []
    pulse = PostgresPulse(database_url, queue.worker_id)
    beat = await asyncio.to_thread(pulse.beat, 1)
    pulse.close()
    assert beat.cancel_ids == [lease.task_id]
    assert await finish(queue, lease, "cancelled") == set()


async def test_the_worker_is_rung_with_the_tasks_id(db: Database, queue: Queue, connect: Connect) -> None:
    lease = await claim_new(db, queue)
    ear = await connect()
    await ear.execute("LISTEN agent_worker")

    await cancel(db, lease.task_id)

    async for note in ear.notifies(timeout=30, stop_after=1):
        assert note.payload == f"cancel {lease.task_id}"


async def test_a_task_that_finishes_all_the_same_keeps_its_answer(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await cancel(db, lease.task_id)

    assert await finish(queue, lease, "completed") == set()

    assert await status_of(db, lease.task_id) == "completed"


async def test_cancelling_a_waiting_task_withdraws_its_question(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())

    await cancel(db, lease.task_id)

    assert await status_of(db, lease.task_id) == "cancelled"
    assert await rows(db, "SELECT status FROM public.human_tasks") == [("cancelled",)]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
async def test_cancelling_what_has_ended_changes_nothing(db: Database, queue: Queue, status: str) -> None:
    lease = await claim_new(db, queue)
    await finish(queue, lease, status)
    before = await read_task(db, lease.task_id)

    await cancel(db, lease.task_id)

    assert await read_task(db, lease.task_id) == before


async def test_a_request_cannot_be_taken_back(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await cancel(db, lease.task_id)
    asked_at = (await read_task(db, lease.task_id))["cancel_requested_at"]

    async with db.connection() as conn:
        await conn.execute("UPDATE public.agent_task_requests SET cancel_requested_at = NULL")

    assert (await read_task(db, lease.task_id))["cancel_requested_at"] == asked_at


async def test_cancelling_a_parent_stops_its_children_whatever_they_do(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    ids = {key: uuid4() for key in ("pending", "processing", "waiting", "completed")}
    await queue.write(
        Batch(children=[Spawned(parent, key, child_id, key, {}) for key, child_id in ids.items()])
    )
    held = {
        key: lease_of((await claim_all(queue, key))[0], queue)
        for key in ("processing", "waiting", "completed")
    }
    await park(queue, held["waiting"], ask())
    await finish(queue, held["completed"])
    await park(queue, parent, await_child(ids["pending"]))

    await cancel(db, parent.task_id)

    assert {key: await status_of(db, child_id) for key, child_id in ids.items()} == {
        "pending": "cancelled",
        "processing": "processing",
        "waiting": "cancelled",
        "completed": "completed",
    }
    assert await queue.cancel_requests(ids.values()) == [ids["processing"]]
    assert await status_of(db, parent.task_id) == "cancelled"


async def test_cancelling_reaches_grandchildren(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    child_id, grandchild_id = uuid4(), uuid4()
    await queue.write(Batch(children=[Spawned(parent, "c", child_id, "child", {})]))
    (task,) = await claim_all(queue, "child")
    child = lease_of(task, queue)
    await queue.write(Batch(children=[Spawned(child, "c", grandchild_id, "grandchild", {})]))
    await park(queue, child, await_child(grandchild_id))
    await park(queue, parent, await_child(child_id))

    await cancel(db, parent.task_id)

    assert await status_of(db, grandchild_id) == "cancelled"


async def test_a_parent_that_fails_takes_its_children_and_questions_with_it(
    db: Database, queue: Queue
) -> None:
    parent = await claim_new(db, queue)
    child_id = uuid4()
    await queue.write(Batch(children=[Spawned(parent, "c", child_id, "child", {})]))

    await finish(queue, parent, "failed")

    assert await status_of(db, child_id) == "cancelled"


async def test_a_parent_that_completes_leaves_its_children_running(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    child_id = uuid4()
    await queue.write(Batch(children=[Spawned(parent, "c", child_id, "child", {})]))

    await finish(queue, parent, "completed")

    assert await status_of(db, child_id) == "pending"


async def test_cancelling_while_somebody_answers_is_no_deadlock(
    db: Database, queue: Queue, connect: Connect
) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    client, person = await connect(), await connect()

    async with client.transaction():
        await client.execute("SELECT 1 FROM public.agent_task_requests FOR NO KEY UPDATE")
        answering = asyncio.create_task(person.execute("UPDATE public.human_tasks SET response = '{}'"))
        await until_blocked(db, person)
        await client.execute("UPDATE public.agent_task_requests SET cancel_requested_at = now()")
    await answering

    assert await status_of(db, lease.task_id) == "cancelled"
    assert await rows(db, "SELECT status FROM public.human_tasks") == [("completed",)]
