"""The fleet's status, from real tables."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet, WorkerIdentity
from agent_worker.db.queries import sql
from agent_worker.db.queue import Batch
from agent_worker.db.report import Report
from agent_worker.db.tasks import Tasks
from agent_worker.domain.health import FleetStatus, diagnose
from agent_worker.domain.records import NewTask
from agent_worker.domain.task import Lease
from tests.client.by_hand import ByHand


@pytest.fixture
def tasks(db: Database) -> Tasks:
    return Tasks(db)


@pytest.fixture
def worker(db: Database) -> ByHand:
    return ByHand(db)


@pytest.fixture
def report(db: Database) -> Report:
    return Report(db)


async def enter(
    fleet: Fleet, worker_id: UUID, *, name: str = "w1", kinds: tuple[str, ...] = ("chat",)
) -> None:
    """Register a worker."""
    await fleet.register(
        WorkerIdentity(
            id=worker_id,
            name=name,
            host="h",
            pid=7,
            kinds=kinds,
            concurrency=10,
            version="0.1.0",
            lease_s=30.0,
        )
    )


async def run(db: Database, statement: str, **params: Any) -> None:
    """Change rows as no client could."""
    async with db.connection() as conn:
        await conn.execute(statement, params)


async def test_an_empty_database_has_an_empty_status(report: Report) -> None:
    assert await report.status() == FleetStatus()


async def test_unfinished_tasks_are_counted_by_what_they_wait_for(
    report: Report, tasks: Tasks, worker: ByHand, fleet: Fleet, db: Database
) -> None:
    await enter(fleet, worker.queue.worker_id)
    await tasks.submit_many([NewTask()] * 5 + [NewTask(kind="chta", priority=4)] * 2)
    await run(db, "UPDATE agent_task_requests SET updated_at = now() - interval '9 s' WHERE kind = 'chta'")
    await run(
        db,
        "UPDATE agent_task_requests SET run_at = now() + interval '1 h' WHERE id = (SELECT min(id::text)::uuid FROM agent_task_requests WHERE kind = 'chat')",
    )
    await worker.claim()
    await worker.ask(await worker.claim())
    status = await report.status()
    assert [(lane.kind, lane.count, lane.is_known) for lane in status.queued] == [
        ("chat", 2, True),
        ("chta", 2, False),
    ]
    assert (status.pending, status.scheduled, status.processing, status.waiting) == (4, 1, 1, 1)
    assert status.oldest is not None
    assert status.oldest.kind == "chta"
    assert 9 <= status.oldest.oldest_s < 60
    assert (status.orphaned, status.overdue, status.stuck) == (0, 0, ())
    assert diagnose(status).command == "agent-worker tasks list --status pending --kind chta"


async def test_postponed_tasks_are_told_apart_from_those_that_are_only_scheduled(
    report: Report, tasks: Tasks, worker: ByHand, db: Database
) -> None:
    await tasks.submit_many([NewTask()] * 3)
    await run(db, "UPDATE agent_task_requests SET created_at = now() - interval '5 min'")
    claimed = [await worker.claim() for _ in range(3)]
    leases = [Lease(task.id, task.attempt, worker.queue.worker_id) for task in claimed]
    await worker.queue.write(
        Batch(releases=[(lease, 60.0) for lease in leases[:2]], retries=[(leases[2], 60.0)])
    )
    status = await report.status()
    assert (status.scheduled, status.postponed) == (3, 2)
    assert 300 <= status.postponed_s < 360
    assert status.queued == ()


async def test_workers_are_shown_while_they_live_and_an_hour_after_they_vanished(
    report: Report, fleet: Fleet, db: Database
) -> None:
    ids = {name: uuid4() for name in ("alive", "draining", "late", "lost", "left", "long lost")}
    for name, worker_id in ids.items():
        await enter(fleet, worker_id, name=name, kinds=("chat", "echo"))
    await fleet.sign_off(ids["draining"], "draining")
    await fleet.sign_off(ids["left"], "stopped")
    await run(
        db, "UPDATE agent_worker.workers SET heartbeat_at = now() - interval '31 s' WHERE name = 'late'"
    )
    gone = "UPDATE agent_worker.workers SET state = 'lost', stopped_at = %(at)s::interval + now() WHERE name = %(name)s"
    await run(db, gone, at="-10 min", name="lost")
    await run(db, gone, at="-2 h", name="long lost")
    status = await report.status()
    assert [(worker.name, worker.state, worker.is_alive) for worker in status.workers] == [
        ("alive", "running", True),
        ("draining", "draining", True),
        ("late", "lost", False),
        ("lost", "lost", False),
    ]
    alive = status.workers[0]
    assert (alive.host, alive.pid, alive.kinds, alive.concurrency) == ("h", 7, ("chat", "echo"), 10)
    assert 0 <= alive.heartbeat_age_s < 30
    assert (alive.free, status.workers[1].free) == (10, 0)


async def test_tasks_of_the_dead_and_tasks_past_their_limit_are_stuck(
    report: Report, tasks: Tasks, worker: ByHand, fleet: Fleet, db: Database
) -> None:
    await enter(fleet, worker.queue.worker_id)
    dead = ByHand(db)
    orphan, overdue, in_time, in_grace, unlimited = await tasks.submit_many(
        [NewTask(), NewTask(timeout_s=60), NewTask(timeout_s=600), NewTask(timeout_s=80), NewTask()]
    )
    await dead.claim()
    for _ in range(4):
        await worker.claim()
    await run(db, "UPDATE agent_task_requests SET started_at = now() - interval '100 s'")
    status = await report.status()
    assert (status.processing, status.orphaned, status.overdue) == (5, 1, 1)
    assert {(task.id, task.is_orphan, task.worker) for task in status.stuck} == {
        (orphan, True, None),
        (overdue, False, "w1"),
    }
    assert all(99 < task.running_s < 200 for task in status.stuck)
    assert {in_time, in_grace, unlimited}.isdisjoint(task.id for task in status.stuck)


async def test_a_task_without_a_limit_is_stuck_after_a_day(
    report: Report, tasks: Tasks, worker: ByHand, fleet: Fleet, db: Database
) -> None:
    await enter(fleet, worker.queue.worker_id)
    task_id = await tasks.submit(NewTask())
    await worker.claim()
    await run(db, "UPDATE agent_task_requests SET started_at = now() - interval '25 h'")
    status = await report.status()
    assert [task.id for task in status.stuck] == [task_id]
    assert diagnose(status).command == f"agent-worker tasks show {task_id}"


async def test_the_last_hour_is_counted(report: Report, tasks: Tasks, worker: ByHand, db: Database) -> None:
    await tasks.submit_many([NewTask()] * 9)
    for n in range(6):
        await worker.complete(await worker.claim(), {"n": n})
    for code in ("rate_limited", "no_luck", "rate_limited"):
        await worker.fail(await worker.claim(), code)
    await tasks.cancel([await tasks.submit(NewTask())])
    for n, ago in ((0, "59 s"), (1, "61 s"), (2, "59 min"), (3, "61 min")):
        await run(
            db,
            "UPDATE agent_task_requests SET finished_at = now() - %(ago)s::interval WHERE response_payload @> %(response)s::jsonb",
            ago=ago,
            response=f'{{"n": {n}}}',
        )
    recent = (await report.status()).recent
    assert (recent.window_s, recent.completed, recent.failed, recent.cancelled) == (3600.0, 5, 3, 1)
    assert (recent.completed_1_min, recent.done_per_min) == (3, 3.0)
    assert recent.top_failure == "rate_limited"


async def test_a_busy_hour_is_judged_by_its_newest_part(db: Database, tasks: Tasks, worker: ByHand) -> None:
    await tasks.submit_many([NewTask()] * 20)
    for n in range(20):
        await worker.complete(await worker.claim(), {"n": n})
    await run(
        db,
        "UPDATE agent_task_requests SET finished_at = now() - interval '1 s' * (response_payload ->> 'n')::integer",
    )
    recent = (await Report(db, look_back=10).status()).recent
    assert recent.completed == 10
    assert 9 <= recent.window_s < 30
    assert recent.done_per_min == pytest.approx(10 * 60 / recent.window_s)


async def test_a_status_does_not_scan_the_history(db: Database, tasks: Tasks) -> None:
    await run(
        db,
        "INSERT INTO agent_task_requests (kind, max_attempts) SELECT 'chat', 1 FROM generate_series(1, 20000)",
    )
    await run(
        db,
        "UPDATE agent_task_requests SET status = 'completed', attempt = 1, response_payload = '{}', "
        "finished_at = now() - interval '2 h'",
    )
    await tasks.submit_many([NewTask()] * 10)
    await run(db, "ANALYZE public.agent_task_requests")
    params = {"grace_s": 30.0, "limit": 20, "look_back": 50_000}
    async with db.connection() as conn, conn.transaction():
        await conn.execute(sql("read_by_index"))
        for name in ("status_pending", "status_scheduled", "status_held", "status_stuck", "status_recent"):
            cursor = await conn.execute("EXPLAIN " + sql(name), params)
            plan = "\n".join(row[0] for row in await cursor.fetchall())
            assert "Seq Scan on agent_task_requests" not in plan, plan
