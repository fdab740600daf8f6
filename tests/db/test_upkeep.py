"""What any worker does for all: stage what is due, refuse what nobody can do, and forget what is old."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet, StageResult
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.domain.events import Event
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.domain.task import Lease
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import (
    Connect,
    ask,
    claim_all,
    claim_new,
    finish,
    park,
    register,
    rows,
    run,
    status_of,
    value,
)


async def insert_due(db: Database, count: int) -> list[UUID]:
    """Insert tasks that have just become due, each a minute before the one inserted before it."""
    ids = [await insert_task(db, run_at="2030-01-01") for _ in range(count)]
    for minutes, task_id in enumerate(ids):
        await run(
            db,
            "UPDATE public.agent_task_requests SET run_at = now() - make_interval(mins => %(m)s) WHERE id = %(id)s",
            m=minutes,
            id=task_id,
        )
    return ids


async def test_staging_moves_what_is_due_and_tells_when_the_next_is(db: Database, fleet: Fleet) -> None:
    due = await insert_task(db, run_at="2030-01-01")
    await run(db, "UPDATE public.agent_task_requests SET run_at = now() - interval '1 minute'")
    await insert_task(db, run_at="2030-01-01")
    await run(
        db, "UPDATE public.agent_task_requests SET run_at = now() + interval '1 hour' WHERE run_at > now()"
    )

    result = await fleet.stage(limit=10)

    assert result.staged == 1
    assert result.next_due_s is not None
    assert 3590 < result.next_due_s <= 3600
    assert (await read_task(db, due))["run_at"] is None


async def test_staging_puts_a_task_behind_those_that_were_there(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    scheduled = await insert_task(db, run_at="2030-01-01")
    waiting = await insert_task(db)
    await run(db, "UPDATE public.agent_task_requests SET run_at = now() WHERE run_at IS NOT NULL")

    await fleet.stage(limit=10)

    assert [task.id for task in await claim_all(queue)] == [waiting, scheduled]


async def test_a_staged_task_has_waited_since_it_became_due(db: Database, queue: Queue, fleet: Fleet) -> None:
    await insert_task(db, run_at="2030-01-01")
    await run(
        db,
        "UPDATE public.agent_task_requests SET run_at = now(), created_at = now() - interval '1 day', "
        "updated_at = now() - interval '1 day'",
    )

    await fleet.stage(limit=10)

    (task,) = await claim_all(queue)
    assert task.waited_s < 60


async def test_staging_takes_at_most_its_limit_the_earliest_first(db: Database, fleet: Fleet) -> None:
    ids = await insert_due(db, 3)

    assert (await fleet.stage(limit=2)).staged == 2

    assert (await read_task(db, ids[0]))["run_at"] is not None, "the latest of the three is left"


async def test_staged_tasks_queue_in_the_order_they_were_due(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    ids = await insert_due(db, 20)

    await fleet.stage(limit=100)

    assert [task.id for task in await claim_all(queue)] == ids[::-1]


async def test_staging_with_nothing_scheduled_tells_so(fleet: Fleet) -> None:
    assert await fleet.stage(limit=10) == StageResult(staged=0, next_due_s=None)


async def test_staging_by_many_workers_at_once_moves_each_task_once(db: Database, fleet: Fleet) -> None:
    for _ in range(30):
        await insert_task(db, run_at="2030-01-01")
    await run(db, "UPDATE public.agent_task_requests SET run_at = now()")

    results = await asyncio.gather(*(fleet.stage(limit=100) for _ in range(4)))

    assert sum(result.staged for result in results) == 30


async def test_a_kind_that_nobody_ever_offered_fails_after_the_grace_and_names_the_known_ones(
    db: Database, fleet: Fleet
) -> None:
    await register(fleet, kinds=("echo", "chat"))
    task_id = await insert_task(db, kind="ehco")
    assert await fleet.fail_unknown_kinds(grace_s=60.0, limit=10) == []
    await run(db, "UPDATE public.agent_task_requests SET created_at = now() - interval '61 seconds'")

    assert await fleet.fail_unknown_kinds(grace_s=60.0, limit=10) == [(task_id, "ehco")]

    row = await read_task(db, task_id)
    assert row["status"] == "failed"
    assert row["finished_at"] is not None
    assert row["response_payload"] == {
        "error": "No worker has ever offered the kind 'ehco'. Known kinds: chat, echo.",
        "code": "unknown_kind",
        "retryable": False,
    }


async def test_a_known_kind_waits_for_its_workers_however_long_they_are_away(
    db: Database, fleet: Fleet
) -> None:
    worker = await register(fleet, kinds=("echo",))
    await fleet.sign_off(worker.id, "stopped")
    await run(db, "DELETE FROM agent_worker.workers")
    task_id = await insert_task(db, kind="echo")

    assert await fleet.fail_unknown_kinds(grace_s=0.0, limit=10) == []
    assert await status_of(db, task_id) == "pending"


async def test_unknown_kinds_are_found_among_known_ones_up_to_the_limit(db: Database, fleet: Fleet) -> None:
    await register(fleet, kinds=("b", "d"))
    for kind in ("a", "b", "c", "d", "e", "e"):
        await insert_task(db, kind=kind)

    failed = await fleet.fail_unknown_kinds(grace_s=0.0, limit=3)
    assert len(failed) == 3
    failed += await fleet.fail_unknown_kinds(grace_s=0.0, limit=3)

    assert sorted(kind for _, kind in failed) == ["a", "c", "e", "e"]


async def test_followers_of_an_unknown_kind_are_told(db: Database, fleet: Fleet, connect: Connect) -> None:
    task_id = await insert_task(db, kind="ehco")
    ear = await connect()
    await ear.execute("LISTEN agent_worker_events")

    await fleet.fail_unknown_kinds(grace_s=0.0, limit=3)

    async for note in ear.notifies(timeout=30, stop_after=1):
        assert note.payload == str(task_id)


async def _ended(db: Database, queue: Queue, *, hours_ago: int) -> Lease:
    lease = await claim_new(db, queue)
    await queue.write(
        Batch(
            events=[Said(lease, 1, Event("text-delta", {"delta": "x"}))],
            checkpoints=[(lease, Checkpoint("a", Call.STEP, 1))],
        )
    )
    await park(queue, lease, ask())
    await run(db, "UPDATE public.human_tasks SET response = '{}' WHERE status = 'pending'")
    (task,) = await claim_all(queue)
    await finish(queue, Lease(task.id, task.attempt, queue.worker_id))
    await run(
        db,
        "UPDATE public.agent_task_requests SET finished_at = now() - make_interval(hours => %(h)s) WHERE id = %(id)s",
        h=hours_ago,
        id=lease.task_id,
    )
    return lease


TABLES = [
    "public.agent_task_requests",
    "public.agent_task_events",
    "public.human_tasks",
    "agent_worker.checkpoints",
]


async def test_pruning_forgets_a_task_with_its_events_checkpoints_and_questions(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    old = await _ended(db, queue, hours_ago=2)
    young = await _ended(db, queue, hours_ago=0)

    assert await fleet.prune(retention_s=3600.0, limit=10) == 1

    for table in TABLES:
        column = "id" if table == TABLES[0] else "task_id"
        kept = {task_id for (task_id,) in await rows(db, f"SELECT {column} FROM {table}")}
        assert kept == {young.task_id}, f"{table} keeps something of {old.task_id}"


@pytest.mark.parametrize("state", ["pending", "processing", "waiting"])
async def test_pruning_leaves_what_has_not_ended(
    db: Database, queue: Queue, fleet: Fleet, state: str
) -> None:
    if state == "pending":
        await insert_task(db)
    else:
        lease = await claim_new(db, queue)
        if state == "waiting":
            await park(queue, lease, ask())
    await run(db, "UPDATE public.agent_task_requests SET created_at = 'epoch', updated_at = 'epoch'")

    assert await fleet.prune(retention_s=0.0, limit=10) == 0
    assert await value(db, "SELECT status FROM public.agent_task_requests") == state


async def test_pruning_takes_the_oldest_first_up_to_its_limit(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    leases = [await _ended(db, queue, hours_ago=hours) for hours in (2, 4, 3)]

    assert await fleet.prune(retention_s=3600.0, limit=2) == 2

    assert await rows(db, "SELECT id FROM public.agent_task_requests") == [(leases[0].task_id,)]


async def test_pruning_forgets_workers_that_left_long_ago_and_no_others(db: Database, fleet: Fleet) -> None:
    gone, left, living = [await register(fleet) for _ in range(3)]
    await fleet.sign_off(gone.id, "stopped")
    await fleet.sign_off(left.id, "stopped")
    await run(
        db,
        "UPDATE agent_worker.workers SET stopped_at = now() - interval '2 hours' WHERE id = %(id)s",
        id=gone.id,
    )

    await fleet.prune(retention_s=3600.0, limit=10)

    assert {row[0] for row in await rows(db, "SELECT id FROM agent_worker.workers")} == {left.id, living.id}


async def test_deleting_by_hand_takes_everything_along(db: Database, queue: Queue) -> None:
    await _ended(db, queue, hours_ago=0)

    await run(db, "DELETE FROM public.agent_task_requests")

    for table in TABLES:
        assert await value(db, f"SELECT count(*) FROM {table}") == 0


async def test_upkeep_of_an_empty_fleet_is_quiet(fleet: Fleet) -> None:
    assert (await fleet.rescue(limit=10)).total == 0
    assert await fleet.fail_unknown_kinds(grace_s=0.0, limit=10) == []
    assert await fleet.expire_questions(limit=10) == 0
    assert await fleet.prune(retention_s=0.0, limit=10) == 0


async def test_prune_passes_over_a_row_that_somebody_has_locked(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    locked = await _ended(db, queue, hours_ago=3)
    await _ended(db, queue, hours_ago=2)

    async with db.connection() as conn, conn.transaction():
        await conn.execute(
            "SELECT 1 FROM public.agent_task_requests WHERE id = %s FOR UPDATE", [locked.task_id]
        )
        assert await fleet.prune(retention_s=3600.0, limit=10) == 1

    assert await rows(db, "SELECT id FROM public.agent_task_requests") == [(locked.task_id,)]
