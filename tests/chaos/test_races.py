"""Two sessions move one task at the same moment: whoever comes second waits, and there is one outcome.

Each pair runs in both orders. The first deed's transaction stays open until the second one waits for it (or has skipped
the locked row, as upkeep does); then it commits, or is rolled back.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Queue
from agent_worker.domain.task import ALLOWED, TaskStatus
from agent_worker.testing.postgres import TestDatabases, read_task
from tests.chaos.invariants import RULES, prepare
from tests.db.steps import Connection, ask, claim_new, park, register, rows, run, silence, value

CANCEL: LiteralString = "UPDATE public.agent_task_requests SET cancel_requested_at = now() WHERE id = %(id)s"
COMPLETE: LiteralString = (
    "SELECT agent_worker.finish(%(worker)s, ARRAY[%(id)s]::uuid[], ARRAY[1], ARRAY['completed'], "
    "ARRAY['{\"answer\": 1}']::jsonb[])"
)
RETRY: LiteralString = (
    "SELECT agent_worker.retry(%(worker)s, ARRAY[%(id)s]::uuid[], ARRAY[1], ARRAY[0.0]::double precision[])"
)
RELEASE: LiteralString = (
    "SELECT agent_worker.release(%(worker)s, ARRAY[%(id)s]::uuid[], ARRAY[1], ARRAY[0.0]::double precision[])"
)
PARK: LiteralString = (
    "SELECT agent_worker.park(%(worker)s, %(id)s, 1, 'next', 'human', NULL, "
    '\'{"type": "approval", "title": "?", "description": "", "form": {}, "context": {}, "priority": "low"}\', 60)'
)
RESCUE: LiteralString = "SELECT id FROM agent_worker.rescue(10) WHERE id IS NOT NULL"
ANSWER: LiteralString = "UPDATE public.human_tasks SET response = '{\"approved\": true}' WHERE task_id = %(id)s AND status = 'pending'"
EXPIRE: LiteralString = "SELECT agent_worker.expire_questions(10)"
REDRIVE: LiteralString = (
    "UPDATE public.agent_task_requests SET status = 'pending', seq = DEFAULT WHERE id = %(id)s "
    "AND status IN ('completed', 'failed', 'cancelled')"
)
DELETE: LiteralString = "DELETE FROM public.agent_task_requests WHERE id = %(id)s"

OF_RUNNING = {
    "cancel": CANCEL,
    "complete": COMPLETE,
    "retry": RETRY,
    "release": RELEASE,
    "park": PARK,
    "rescue": RESCUE,
    "redrive": REDRIVE,
    "delete": DELETE,
}
OF_WAITING = {"cancel": CANCEL, "answer": ANSWER, "expire": EXPIRE, "redrive": REDRIVE, "delete": DELETE}

FINAL = ("completed", "failed", "cancelled")


@pytest.fixture(scope="module")
def module_url(databases: TestDatabases) -> Any:
    with databases.migrated() as url:
        asyncio.run(_prepare(url))
        yield url


@pytest.fixture
def database_url(module_url: str) -> str:
    return module_url


@pytest.fixture
async def stage(db: Database) -> AsyncIterator[Database]:
    """The database, without any task afterwards."""
    yield db
    await run(db, "DELETE FROM public.agent_task_requests")
    await run(db, "DELETE FROM agent_worker.workers")
    await run(db, "TRUNCATE chaos.moves")


@pytest.mark.parametrize("is_kept", [True, False], ids=["committed", "rolled back"])
@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(OF_RUNNING, 2)])
async def test_two_deeds_to_a_running_task_end_in_one_allowed_state(
    stage: Database, first: str, second: str, is_kept: bool
) -> None:
    worker, task = await running_task(stage)
    await race(stage, OF_RUNNING[first], OF_RUNNING[second], worker=worker, task=task, is_kept=is_kept)
    await assert_in_order(stage, task, {first, second})


@pytest.mark.parametrize("is_kept", [True, False], ids=["committed", "rolled back"])
@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(OF_WAITING, 2)])
async def test_two_deeds_to_a_waiting_task_end_in_one_allowed_state(
    stage: Database, first: str, second: str, is_kept: bool
) -> None:
    worker, task = await waiting_task(stage)
    await race(stage, OF_WAITING[first], OF_WAITING[second], worker=worker, task=task, is_kept=is_kept)
    await assert_in_order(stage, task, {first, second})


async def race(
    db: Database, first: LiteralString, second: LiteralString, *, worker: UUID, task: UUID, is_kept: bool
) -> None:
    """Do the second deed while the transaction of the first is open."""
    params = {"worker": worker, "id": task}
    async with db.connection() as one, db.connection() as other:
        await one.execute("BEGIN")
        await one.execute(first, params)
        answer = asyncio.create_task(other.execute(second, params))
        await until_blocked_or_done(db, other, answer)
        await (one.commit() if is_kept else one.rollback())
        await answer


async def until_blocked_or_done(db: Database, conn: Connection, answer: asyncio.Task[Any]) -> None:
    """Wait until the second deed waits for a lock, or has skipped what is locked."""
    async with asyncio.timeout(30):
        while not answer.done():
            query = "SELECT cardinality(pg_blocking_pids(%(pid)s)) > 0"
            if await value(db, query, pid=conn.info.backend_pid):
                return


async def assert_in_order(db: Database, task: UUID, deeds: set[str]) -> None:
    moves = await rows(db, "SELECT old, new FROM chaos.moves WHERE task = %(id)s", id=task)
    for old, new in moves:
        assert old == new or TaskStatus(new) in ALLOWED[TaskStatus(old)], (old, new)
    ends = sum(new in FINAL for _, new in moves)
    redriven = sum(old in FINAL for old, _ in moves)
    assert ends - redriven in {0, 1}, moves
    assert redriven == 0 or "redrive" in deeds
    for rule in (
        "events are numbered from 1 without a gap",
        "attempts stay within what is allowed",
        "nothing is left of a task that is gone, and no question of one that has ended",
    ):
        left = await rows(db, RULES[rule])
        is_open = await rows(
            db, "SELECT 1 FROM public.agent_task_requests WHERE status IN ('waiting', 'pending')"
        )
        assert not left or is_open, (rule, left)
    if not await rows(db, "SELECT 1 FROM public.agent_task_requests WHERE id = %(id)s", id=task):
        assert "delete" in deeds
        return
    row = await read_task(db, task)
    is_final = row["status"] in FINAL
    assert (row["response_payload"] is not None, row["finished_at"] is not None) == (is_final, is_final)
    assert (row["worker_id"] is not None) == (row["status"] == "processing" or row["status"] == "completed")
    if row["status"] == "waiting":
        assert await rows(
            db, "SELECT 1 FROM public.human_tasks WHERE task_id = %(id)s AND status = 'pending'", id=task
        ), "nobody would ever wake it"


async def running_task(db: Database) -> tuple[UUID, UUID]:
    """A task whose worker was silent for too long, so that a rescue may take it."""
    queue = Queue(db, uuid4())
    await register(Fleet(db), queue.worker_id)
    lease = await claim_new(db, queue)
    await silence(db, queue.worker_id)
    return queue.worker_id, lease.task_id


async def waiting_task(db: Database) -> tuple[UUID, UUID]:
    """A task with an open question whose time is up."""
    queue = Queue(db, uuid4())
    await register(Fleet(db), queue.worker_id)
    lease = await claim_new(db, queue)
    assert not await park(queue, lease, ask(timeout_s=0.0))
    return queue.worker_id, lease.task_id


async def _prepare(url: str) -> None:
    async with Database(url) as db:
        await prepare(db)
