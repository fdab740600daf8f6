"""Children: spawned once, awaited without holding a worker, and never the reason of a deadlock."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Batch, Queue, Spawned
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.domain.task import Lease, Resume
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import (
    Connect,
    await_child,
    claim_all,
    claim_new,
    finish,
    lease_of,
    park,
    rows,
    run,
    status_of,
    until_blocked,
)


async def spawn(queue: Queue, parent: Lease, *, key: str = "spawn:1", kind: str = "child") -> UUID:
    child_id = uuid4()
    assert await queue.write(Batch(children=[Spawned(parent, key, child_id, kind, {"n": 1})])) == set()
    return child_id


async def parent_and_child(db: Database, queue: Queue, **columns: object) -> tuple[Lease, Lease]:
    """Return a held parent and its held child."""
    parent = await claim_new(db, queue, **columns)
    child_id = await spawn(queue, parent)
    (task,) = await claim_all(queue, "child")
    assert task.id == child_id
    return parent, lease_of(task, queue)


async def outcome_for(queue: Queue, parent: Lease, child_id: UUID) -> object:
    return (await queue.load_checkpoints(parent.task_id))[f"wait:{child_id}"].value


async def test_a_child_inherits_user_tenant_and_priority(db: Database, queue: Queue) -> None:
    user_id = uuid4()
    parent = await claim_new(db, queue, user_id=user_id, enterprise_id="acme", priority=4)

    row = await read_task(db, await spawn(queue, parent))

    assert (row["user_id"], row["enterprise_id"], row["priority"]) == (user_id, "acme", 4)
    assert (row["parent_id"], row["kind"], row["request_payload"]) == (parent.task_id, "child", {"n": 1})


async def test_spawning_again_adds_no_second_child(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    child = Spawned(parent, "spawn:1", uuid4(), "child", {})

    await queue.write(Batch(children=[child]))
    await queue.write(Batch(children=[child]))

    assert len(await rows(db, "SELECT 1 FROM public.agent_task_requests WHERE kind = 'child'")) == 1
    known = await queue.load_checkpoints(parent.task_id)
    assert known == {"spawn:1": Checkpoint("spawn:1", Call.SPAWN, str(child.child_id))}


@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_a_waiting_parent_wakes_when_its_child_ends(db: Database, queue: Queue, status: str) -> None:
    parent, child = await parent_and_child(db, queue)
    await park(queue, parent, await_child(child.task_id))
    assert await status_of(db, parent.task_id) == "waiting"

    await finish(queue, child, status)

    (task,) = await claim_all(queue)
    assert (task.id, task.resume) == (parent.task_id, Resume.ANSWERED)
    assert await outcome_for(queue, parent, child.task_id) == {
        "status": status,
        "response": {"answer": "yes"},
    }


async def test_a_parent_that_waits_for_an_ended_child_goes_on_at_once(db: Database, queue: Queue) -> None:
    parent, child = await parent_and_child(db, queue)
    await finish(queue, child)

    await park(queue, parent, await_child(child.task_id))

    assert await status_of(db, parent.task_id) == "pending"
    assert await outcome_for(queue, parent, child.task_id) == {
        "status": "completed",
        "response": {"answer": "yes"},
    }


async def test_a_child_that_ends_while_its_parent_parks_wakes_it(
    db: Database, queue: Queue, connect: Connect
) -> None:
    parent, child = await parent_and_child(db, queue)
    parking, ending = await connect(), await connect()

    async with parking.transaction():
        await parking.execute(
            "SELECT agent_worker.park(%s, %s, 1, %s, 'child', %s, '{}', NULL)",
            [queue.worker_id, parent.task_id, f"wait:{child.task_id}", child.task_id],
        )
        end = asyncio.create_task(ending.execute(FINISH, [queue.worker_id, [child.task_id]]))
        await until_blocked(db, ending)
    await end

    assert await status_of(db, parent.task_id) == "pending"


async def test_a_parent_that_parks_while_its_child_ends_goes_on(
    db: Database, queue: Queue, connect: Connect
) -> None:
    parent, child = await parent_and_child(db, queue)
    parking, ending = await connect(), await connect()

    async with ending.transaction():
        await ending.execute(FINISH, [queue.worker_id, [child.task_id]])
        park_it = asyncio.create_task(
            parking.execute(
                "SELECT agent_worker.park(%s, %s, 1, %s, 'child', %s, '{}', NULL)",
                [queue.worker_id, parent.task_id, f"wait:{child.task_id}", child.task_id],
            )
        )
        await until_blocked(db, parking)

    assert await (await park_it).fetchall() == [("pending",)]


FINISH = """SELECT agent_worker.finish(%s, %s, '{1}', '{completed}', array['{"answer": "yes"}']::jsonb[])"""


FINISH_TWO = (
    "SELECT agent_worker.finish(%s, %s, '{1,1}', '{completed,completed}', array['{}', '{}']::jsonb[])"
)


async def test_a_parent_wakes_when_its_child_is_cancelled(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    child_id = await spawn(queue, parent)
    await park(queue, parent, await_child(child_id))

    await run(
        db, "UPDATE public.agent_task_requests SET cancel_requested_at = now() WHERE id = %(id)s", id=child_id
    )

    assert await status_of(db, parent.task_id) == "pending"


async def test_a_parent_wakes_when_its_child_dies_with_its_worker(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    parent, child = await parent_and_child(db, queue)
    await run(
        db, "UPDATE public.agent_task_requests SET max_attempts = 1 WHERE id = %(id)s", id=child.task_id
    )
    await park(queue, parent, await_child(child.task_id))

    assert (await fleet.rescue(limit=10)).failed == 1

    assert await status_of(db, parent.task_id) == "pending"


async def test_a_parent_wakes_when_its_child_is_deleted(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    child_id = await spawn(queue, parent)
    await park(queue, parent, await_child(child_id))

    await run(db, "DELETE FROM public.agent_task_requests WHERE id = %(id)s", id=child_id)

    assert await status_of(db, parent.task_id) == "pending"
    outcome = await outcome_for(queue, parent, child_id)
    assert isinstance(outcome, dict)
    assert (outcome["status"], outcome["response"]["code"]) == ("failed", "child_missing")


async def test_a_parent_that_waits_for_a_deleted_child_goes_on_at_once(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    child_id = await spawn(queue, parent)
    await run(db, "DELETE FROM public.agent_task_requests WHERE id = %(id)s", id=child_id)

    await park(queue, parent, await_child(child_id))

    assert await status_of(db, parent.task_id) == "pending"


async def test_waiting_for_a_task_that_is_no_child_goes_on_at_once(db: Database, queue: Queue) -> None:
    stranger = await insert_task(db, kind="other")
    parent = await claim_new(db, queue)

    await park(queue, parent, await_child(stranger))

    outcome = await outcome_for(queue, parent, stranger)
    assert isinstance(outcome, dict)
    assert outcome["response"]["code"] == "child_missing"


async def test_a_parent_that_waits_for_two_children_wakes_for_each(db: Database, queue: Queue) -> None:
    parent = await claim_new(db, queue)
    first, second = await spawn(queue, parent), await spawn(queue, parent, key="spawn:2")
    leases = {task.id: lease_of(task, queue) for task in await claim_all(queue, "child")}

    await park(queue, parent, await_child(first))
    await finish(queue, leases[second])
    assert await status_of(db, parent.task_id) == "waiting", "nobody waits for the second one yet"
    await finish(queue, leases[first])

    (task,) = await claim_all(queue)
    await park(queue, lease_of(task, queue), await_child(second))
    assert await status_of(db, parent.task_id) == "pending"


async def test_ending_a_child_while_its_parent_is_cancelled_is_no_deadlock(
    db: Database, queue: Queue, connect: Connect
) -> None:
    parent, child = await parent_and_child(db, queue)
    await park(queue, parent, await_child(child.task_id))
    client, worker = await connect(), await connect()

    async with client.transaction():
        await client.execute(
            "SELECT 1 FROM public.agent_task_requests WHERE id = %s FOR NO KEY UPDATE", [parent.task_id]
        )
        end = asyncio.create_task(worker.execute(FINISH, [queue.worker_id, [child.task_id]]))
        await until_blocked(db, worker)
        await client.execute(
            "UPDATE public.agent_task_requests SET cancel_requested_at = now() WHERE id = %s",
            [parent.task_id],
        )
    await end

    assert await status_of(db, parent.task_id) == "cancelled"
    assert await status_of(db, child.task_id) == "completed"


async def test_ending_children_of_the_same_parents_in_crossing_batches_is_no_deadlock(
    db: Database, connect: Connect
) -> None:
    queue = Queue(db, uuid4())
    for _ in range(2):
        await insert_task(db)
    low, high = sorted((lease_of(task, queue) for task in await claim_all(queue)), key=lambda p: p.task_id)
    # A batch ends its tasks in order of their ids: the first one meets the parents upwards, the second downwards.
    upwards, downwards = [UUID(int=1), UUID(int=2)], [UUID(int=3), UUID(int=4)]
    family = [*zip((low, high), upwards, strict=True), *zip((high, low), downwards, strict=True)]
    children = [Spawned(parent, str(child), child, "child", {}) for parent, child in family]
    await queue.write(Batch(children=children))
    await claim_all(queue, "child")
    holder, first, second = await connect(), await connect(), await connect()

    async with holder.transaction():
        await holder.execute(
            "SELECT 1 FROM public.agent_task_requests WHERE id = %s FOR NO KEY UPDATE", [high.task_id]
        )
        down = asyncio.create_task(first.execute(FINISH_TWO, [queue.worker_id, downwards]))
        await until_blocked(db, first)
        up = asyncio.create_task(second.execute(FINISH_TWO, [queue.worker_id, upwards]))
        await until_blocked(db, second)

    assert await (await up).fetchall() == [], "nothing is lost"
    assert await (await down).fetchall() == []
    assert {await status_of(db, child) for child in upwards + downwards} == {"completed"}
