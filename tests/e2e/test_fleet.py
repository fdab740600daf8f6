"""Several worker processes, and what they survive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_worker.db.connection import Database
from tests.e2e.fleet import ALL_LIVE, Fleet, fleet
from tests.e2e.steps import PATIENCE_S, alive, all_completed, have_status, insert_many, runs
from tests.waiting import eventually
from tests.worker.conftest import Rows

pytestmark = pytest.mark.slow


@pytest.fixture
def workers(database_url: str, tmp_path: Path, ledger: Path) -> Iterator[Fleet]:
    with fleet(database_url, tmp_path) as started:
        yield started


async def test_three_workers_answer_each_of_3000_tasks_exactly_once(
    workers: Fleet, db: Database, ledger: Path
) -> None:
    for _ in range(3):
        workers.start(env=ALL_LIVE)
    await alive(db, 3)
    await insert_many(db, 3000, s=0.2)
    await all_completed(db, 3000)
    assert set(runs(ledger).values()) == {1}
    assert len(runs(ledger)) == 3000
    assert await db.fetch_value("SELECT max(attempt) FROM agent_task_requests") == 1
    assert len({line.split()[2] for line in ledger.read_text().splitlines()}) == 3, "all three took part"


async def test_tasks_of_a_killed_worker_are_finished_by_the_others(
    workers: Fleet, db: Database, ledger: Path
) -> None:
    for _ in range(3):
        workers.start("--concurrency", "20")
    await alive(db, 3)
    await insert_many(db, 60, s=3)  # as many as there are slots, and none ends before the kill
    victim = workers.workers[0]

    async def is_busy() -> bool:
        return bool(
            await db.fetch_value(
                "SELECT count(*) >= 10 FROM agent_task_requests t JOIN agent_worker.workers w ON w.id = t.worker_id "
                "WHERE t.status = 'processing' AND w.pid = %(pid)s",
                {"pid": victim.pid},
            )
        )

    await eventually(is_busy, timeout_s=PATIENCE_S)
    victim.kill()
    killed_at = await db.fetch_value("SELECT now()")
    await all_completed(db, 60)
    late_s = await db.fetch_value(
        "SELECT extract(epoch from max(started_at) - %(at)s)::float8 FROM agent_task_requests WHERE resume = 'rescued'",
        {"at": killed_at},
    )
    assert 0 < late_s <= 3 + 15, "taken back soon after the lease"
    answered_twice = [task for task, count in runs(ledger).items() if count > 1]
    rescued = await db.fetch_value("SELECT count(*) FROM agent_task_requests WHERE attempt = 2")
    assert rescued >= 10
    assert len(answered_twice) <= rescued, (
        "only what the killed worker had finished but not yet recorded may run again"
    )


async def test_sigterm_loses_nothing_and_uses_up_no_attempt(
    workers: Fleet, db: Database, ledger: Path
) -> None:
    first = workers.start("--concurrency", "50", env={**ALL_LIVE, "AGENT_WORKER_SHUTDOWN_GRACE_S": "0.2"})
    await alive(db, 1)
    await insert_many(db, 400, s=1)  # 8 s of work, so that some is left
    await have_status(db, "completed", 20)
    first.terminate()
    assert first.wait() == 0
    left = await db.fetch_all(
        "SELECT status, count(*) FROM agent_task_requests GROUP BY status ORDER BY status"
    )
    assert {status for status, _ in left} == {"completed", "pending"}
    workers.start("--concurrency", "400", env=ALL_LIVE)
    await all_completed(db, 400)
    assert await db.fetch_value("SELECT max(attempt) FROM agent_task_requests") == 1
    assert set(runs(ledger).values()) == {1}


async def test_a_question_survives_two_kills_and_is_answered_once(
    workers: Fleet, db: Database, rows: Rows, ledger: Path
) -> None:
    first = workers.start()
    task_id = await rows.insert("ask-twice", {"s": 5})
    await rows.reaches(task_id, "waiting", timeout_s=PATIENCE_S)
    first.kill()  # while it waits
    second = workers.start()
    await rows.answer(task_id, {"approved": True})

    async def has_resumed() -> bool:
        return f"{task_id} resumed {second.pid}" in ledger.read_text()

    await eventually(has_resumed, timeout_s=PATIENCE_S)
    second.kill()  # while it resumes
    third = workers.start()
    task = await rows.reaches(task_id, "completed", timeout_s=PATIENCE_S)
    assert task["response_payload"] == {"answer": True}
    lines = ledger.read_text().splitlines()
    assert sum("charged" in line for line in lines) == 1, "the step ran once"
    assert [line.split()[2] for line in lines if "resumed" in line] == [str(second.pid), str(third.pid)]
    assert len(await db.fetch_all("SELECT 1 FROM human_tasks")) == 1


async def test_a_blocked_worker_process_keeps_its_tasks(workers: Fleet, db: Database, ledger: Path) -> None:
    workers.start(env={"AGENT_WORKER_LEASE_S": "5"})
    await alive(db, 1)
    await insert_many(db, 1, s=11, block=True)  # twice the lease
    await have_status(db, "processing", 1)
    workers.start()
    await alive(db, 2)
    await all_completed(db, 1)
    assert await db.fetch_value("SELECT attempt FROM agent_task_requests") == 1
    assert sum(runs(ledger).values()) == 1


async def test_the_log_tells_what_a_person_wants_to_know(workers: Fleet, db: Database, rows: Rows) -> None:
    worker = workers.start()
    await rows.reaches(await rows.insert("echo", {"prompt": "hello"}), "completed", timeout_s=PATIENCE_S)
    worker.terminate()
    assert worker.wait() == 0
    events = re.findall(r'"event": "([^"]+)"', worker.log.read_text())
    for event in ("worker.started", "task.claimed", "task.completed", "worker.draining", "worker.stopped"):
        assert event in events
    assert "hello" not in worker.log.read_text(), "payloads are not logged"
