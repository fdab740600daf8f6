"""Thousands of tasks that failed for good run again: all that were meant, none twice, whatever interrupts it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.redrive import EndedFilter, EndedGroup, Redrive, Redriven
from agent_worker.domain.task import TaskStatus
from agent_worker.testing.postgres import insert_task
from tests.db.steps import Connect, rows, run, status_of, value
from tests.waiting import eventually

FAILED = 3_000

FILL = """
    INSERT INTO public.agent_task_requests (
      kind, status, worker_id, attempt, max_attempts, response_payload, started_at, finished_at
    )
    SELECT CASE WHEN n %% 3 = 0 THEN 'echo' ELSE 'chat' END, %(status)s, gen_random_uuid(), 3, 3,
           agent_worker.failure('It failed.', CASE WHEN n %% 2 = 0 THEN 'timeout' ELSE 'rate_limited' END, true),
           now(), date_trunc('second', now()) - make_interval(mins => n / 100)
    FROM generate_series(0, %(count)s - 1) n
"""


async def fill(db: Database, count: int = FAILED, status: str = "failed") -> None:
    """Insert tasks that ended, a hundred in each of the last minutes; every third is `echo`, every other `timeout`."""
    await run(db, FILL, count=count, status=status)


async def counts(db: Database) -> dict[str, int]:
    return dict(await rows(db, "SELECT status, count(*) FROM agent_task_requests GROUP BY status"))


async def all_of(redriven: AsyncIterator[Redriven]) -> Redriven:
    done = [batch async for batch in redriven]
    return Redriven(sum(batch.retried for batch in done), sum(batch.skipped for batch in done))


async def test_three_thousand_failed_tasks_are_pending_again_with_new_attempts(db: Database) -> None:
    await fill(db)
    await fill(db, 700, "completed")

    batches = [batch async for batch in Redrive(db, EndedFilter()).run()]

    assert batches == [Redriven(500, 0)] * 6
    assert await counts(db) == {"pending": FAILED, "completed": 700}
    facts = "SELECT DISTINCT attempt, max_attempts, response_payload, finished_at FROM agent_task_requests"
    assert await rows(db, f"{facts} WHERE status = 'pending'") == [(3, 6, None, None)]


async def test_tasks_run_again_in_the_order_in_which_they_ended(db: Database) -> None:
    await fill(db, 300)
    before = await rows(db, "SELECT id, finished_at FROM agent_task_requests")

    await all_of(Redrive(db, EndedFilter(), batch_size=70, piece_size=90).run())

    ended = dict(before)
    after = [ended[row[0]] for row in await rows(db, "SELECT id FROM agent_task_requests ORDER BY seq")]
    assert all(max(after[:n]) <= min(after[n:]) for n in (70, 90, 160, 180)), "no batch overtakes another"


@pytest.mark.parametrize("piece_size", [7, 100, 20_000], ids=["small pieces", "pieces", "one piece"])
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, 600),
        ({"kind": "echo"}, 200),
        ({"code": "timeout"}, 300),
        ({"kind": "echo", "code": "timeout"}, 100),
        ({"since": timedelta(minutes=2)}, 300),
        ({"limit": 250}, 250),
        ({"kind": "chat", "limit": 100}, 100),
        ({"kind": "nobody's"}, 0),
        ({"status": TaskStatus.CANCELLED}, 40),
        ({"status": TaskStatus.CANCELLED, "code": "timeout"}, 20),
    ],
    ids=str,
)
async def test_filters_join(db: Database, chosen: dict[str, Any], expected: int, piece_size: int) -> None:
    await fill(db, 600)
    await fill(db, 40, "cancelled")
    await fill(db, 40, "completed")
    youngest: datetime = await value(
        db, "SELECT max(finished_at) FROM agent_task_requests WHERE status = 'failed'"
    )
    given = {**chosen, "since": youngest - chosen["since"]} if "since" in chosen else chosen
    redrive = Redrive(db, EndedFilter(**given), piece_size=piece_size, batch_size=30)

    groups = await redrive.count()
    assert sum(group.tasks for group in groups) == expected
    assert (await counts(db)).get("pending", 0) == 0, "counting changes nothing"
    assert await all_of(redrive.run()) == Redriven(expected, 0)

    assert (await counts(db)).get("pending", 0) == expected
    kinds = await rows(db, "SELECT DISTINCT kind FROM agent_task_requests WHERE status = 'pending'")
    assert {group.kind for group in groups} == {kind for (kind,) in kinds}


async def test_a_count_groups_by_kind_and_code(db: Database) -> None:
    await fill(db, 600)

    assert await Redrive(db, EndedFilter(), piece_size=50).count() == [
        EndedGroup("chat", "rate_limited", 200),
        EndedGroup("chat", "timeout", 200),
        EndedGroup("echo", "rate_limited", 100),
        EndedGroup("echo", "timeout", 100),
    ]


async def test_a_limit_takes_the_oldest(db: Database) -> None:
    await fill(db, 300)

    await all_of(Redrive(db, EndedFilter(limit=100)).run())

    youngest = await value(db, "SELECT min(finished_at) FROM agent_task_requests WHERE status = 'failed'")
    assert datetime.now(UTC) - youngest < timedelta(minutes=2)


async def test_a_redrive_that_broke_off_is_finished_by_the_same_again(db: Database) -> None:
    await fill(db)
    async with aclosing(Redrive(db, EndedFilter()).run()) as batches:
        async for _ in batches:
            break
    assert await counts(db) == {"pending": 500, "failed": FAILED - 500}

    assert await all_of(Redrive(db, EndedFilter()).run()) == Redriven(FAILED - 500, 0)
    assert await counts(db) == {"pending": FAILED}


async def test_a_task_that_fails_again_meanwhile_is_not_taken_twice(db: Database) -> None:
    await fill(db, 1_000)
    done = 0
    async for batch in Redrive(db, EndedFilter(), batch_size=100, piece_size=100).run():
        done += batch.retried
        await run(
            db,
            "UPDATE agent_task_requests SET status = 'failed', attempt = max_attempts, finished_at = clock_timestamp()"
            " WHERE status = 'pending'",
        )

    assert done == 1_000
    assert await counts(db) == {"failed": 1_000}


async def test_two_redrives_at_once_put_each_task_back_once(db: Database) -> None:
    await fill(db, 1_000)

    one, other = await asyncio.gather(
        *(all_of(Redrive(db, EndedFilter(), batch_size=50).run()) for _ in range(2))
    )

    assert one.retried + other.retried == 1_000
    assert await rows(db, "SELECT DISTINCT status, max_attempts FROM agent_task_requests") == [("pending", 6)]


async def end(db: Database, task_id: UUID, minutes_ago: int) -> None:
    await run(
        db,
        "UPDATE agent_task_requests SET status = 'failed', attempt = 3,"
        " finished_at = now() - make_interval(mins => %(m)s) WHERE id = %(id)s",
        id=task_id,
        m=minutes_ago,
    )


async def test_a_dedupe_key_in_use_leaves_its_task_and_no_other(db: Database) -> None:
    """Of three that failed with one key one may run; the key that a live task has lets none."""
    same = []
    for minutes in (3, 2, 1):
        same.append(await insert_task(db, dedupe_key="same"))
        await end(db, same[-1], minutes)
    taken = await insert_task(db, dedupe_key="taken")
    await end(db, taken, 1)
    await insert_task(db, dedupe_key="taken")
    await fill(db, 20)

    assert await all_of(Redrive(db, EndedFilter()).run()) == Redriven(21, 3)

    assert sorted([await status_of(db, task_id) for task_id in same]) == ["failed", "failed", "pending"]
    assert await status_of(db, taken) == "failed"


async def test_a_batch_that_waits_for_a_lock_can_be_given_up(db: Database, connect: Connect) -> None:
    """What was put back stays so; the batch under way is undone as a whole."""
    await fill(db, 300)
    holder = await connect()
    async with holder.transaction():
        await holder.execute(
            "SELECT 1 FROM agent_task_requests ORDER BY finished_at DESC, id DESC LIMIT 1 FOR UPDATE"
        )
        work = asyncio.create_task(all_of(Redrive(db, EndedFilter(), batch_size=100).run()))

        async def is_stuck() -> bool:
            return bool(await value(db, "SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually(is_stuck)
        work.cancel()
        await asyncio.wait({work})

    assert work.cancelled()
    assert await counts(db) == {"pending": 200, "failed": 100}
