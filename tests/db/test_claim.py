"""Who gets which task, and in what order."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from agent_worker.db.connection import Database
from agent_worker.db.queue import Queue
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.task import Resume
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import claim_all, run, status_of


async def test_claim_takes_higher_priorities_first_and_older_tasks_first_within_one(
    db: Database, queue: Queue
) -> None:
    low = [await insert_task(db, priority=0) for _ in range(3)]
    high = [await insert_task(db, priority=7) for _ in range(2)]
    middle = await insert_task(db, priority=3)

    tasks = await claim_all(queue)

    assert [task.id for task in tasks] == [*high, middle, *low]


async def test_claim_tells_everything_an_attempt_needs(db: Database, queue: Queue) -> None:
    user_id, parent_id = uuid4(), uuid4()
    task_id = await insert_task(
        db,
        request_payload={"prompt": "Hello"},
        user_id=user_id,
        enterprise_id="acme",
        priority=4,
        max_attempts=5,
        timeout_s=60,
        parent_id=parent_id,
    )

    (task,) = await claim_all(queue)

    assert (task.id, task.kind, task.request_payload) == (task_id, "echo", {"prompt": "Hello"})
    assert (task.user_id, task.enterprise_id, task.parent_id) == (user_id, "acme", parent_id)
    assert (task.priority, task.attempt, task.max_attempts, task.timeout_s) == (4, 1, 5, 60)
    assert task.resume is Resume.FRESH
    assert 0 <= task.waited_s < 60
    assert task.created_at <= task.started_at


async def test_claim_marks_the_row_as_held(db: Database, queue: Queue) -> None:
    task_id = await insert_task(db)
    await claim_all(queue)

    row = await read_task(db, task_id)

    assert (row["status"], row["attempt"], row["worker_id"]) == ("processing", 1, queue.worker_id)
    assert row["started_at"] is not None


async def test_claim_takes_no_more_than_the_limit_and_leaves_the_rest_unlocked(
    db: Database, queue: Queue
) -> None:
    ids = [await insert_task(db) for _ in range(5)]

    first = await claim_all(queue, limit=2)
    rest = await claim_all(Queue(db, uuid4()), limit=10)

    assert [task.id for task in first] == ids[:2]
    assert [task.id for task in rest] == ids[2:]


async def test_claim_looks_only_into_the_lanes_it_is_given(db: Database, queue: Queue) -> None:
    await insert_task(db, kind="chat")
    await insert_task(db, kind="echo", priority=1)
    wanted = await insert_task(db, kind="echo", priority=0)

    tasks = await queue.claim([whole_level("echo", 0)], 10)

    assert [task.id for task in tasks] == [wanted]
    assert await queue.claim([], 10) == []


async def test_claim_leaves_rows_below_the_watermark_to_a_sweep(db: Database, queue: Queue) -> None:
    early = await insert_task(db)
    late = await insert_task(db)
    watermark = (await read_task(db, late))["seq"]

    above = await queue.claim([whole_level("echo", 0, watermark=watermark)], 10)
    swept = await queue.claim([whole_level("echo", 0)], 10)

    assert [task.id for task in above] == [late]
    assert [task.id for task in swept] == [early]


async def test_a_task_with_run_at_is_not_claimed_before_it_is_staged(db: Database, queue: Queue) -> None:
    task_id = await insert_task(db)
    await run(db, "UPDATE public.agent_task_requests SET run_at = now() - interval '1 second'")

    assert await claim_all(queue) == []
    assert await status_of(db, task_id) == "pending"


async def test_concurrent_claimers_never_hold_one_task_twice(db: Database) -> None:
    await run(db, "INSERT INTO public.agent_task_requests (kind) SELECT 'echo' FROM generate_series(1, 300)")
    queues = [Queue(db, uuid4()) for _ in range(6)]

    async def drain(queue: Queue) -> list[object]:
        mine: list[object] = []
        while tasks := await claim_all(queue, limit=7):
            mine += [task.id for task in tasks]
        return mine

    shares = await asyncio.gather(*map(drain, queues))

    claimed = [task_id for share in shares for task_id in share]
    assert len(claimed) == len(set(claimed)) == 300
    assert sum(bool(share) for share in shares) > 1


async def test_claim_passes_over_a_row_that_somebody_has_locked(db: Database, queue: Queue) -> None:
    locked = await insert_task(db)
    free = await insert_task(db)

    async with db.connection() as conn, conn.transaction():
        await conn.execute("SELECT 1 FROM public.agent_task_requests WHERE id = %s FOR UPDATE", [locked])
        tasks = await claim_all(queue)

    assert [task.id for task in tasks] == [free]


async def test_a_row_that_commits_late_is_found_by_the_sweep(db: Database, queue: Queue) -> None:
    async with db.connection() as conn, conn.transaction():
        await conn.execute("INSERT INTO public.agent_task_requests (kind) VALUES ('echo')")
        later = await insert_task(db)
        (task,) = await claim_all(queue)
        assert task.id == later

    watermark = (await read_task(db, later))["seq"]
    assert await queue.claim([whole_level("echo", 0, watermark=watermark)], 10) == []
    assert len(await queue.claim([whole_level("echo", 0)], 10)) == 1
