"""Worker processes that know a project's URL and key and nothing else, and what they survive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_worker.db.connection import Database
from tests.e2e.fleet import ALL_LIVE, Fleet, WorkerProcess, fleet
from tests.e2e.steps import PATIENCE_S, alive, all_completed, have_begun, have_status, insert_many, runs
from tests.gateway.door import SECRET
from tests.rest.project import StandIn
from tests.waiting import eventually
from tests.worker.conftest import Rows

pytestmark = pytest.mark.slow


@pytest.fixture
def workers(stand_in: StandIn, tmp_path: Path, ledger: Path) -> Iterator[Fleet]:
    # An empty DATABASE_URL counts as none.
    with fleet("", tmp_path) as started:
        yield started
        for worker in started.workers:
            assert SECRET not in worker.log.read_text()


def start(workers: Fleet, stand_in: StandIn, *options: str, **env: str) -> WorkerProcess:
    project = {
        "SUPABASE_URL": stand_in.url,
        "SUPABASE_SERVICE_ROLE_KEY": SECRET,
        "AGENT_WORKER_MODEL": "echo/echo",
    }
    return workers.start(*options, env=project | env)


async def test_two_workers_answer_each_task_once_and_stream_without_a_gap(
    workers: Fleet, stand_in: StandIn, db: Database, rows: Rows, ledger: Path
) -> None:
    for _ in range(2):
        start(workers, stand_in, **ALL_LIVE)
    await alive(db, 2)
    await insert_many(db, 500)
    await all_completed(db, 500)
    chat = await rows.insert("chat", {"prompt": " ".join(f"word{n}" for n in range(300))})
    answer = (await rows.reaches(chat, "completed", timeout_s=PATIENCE_S))["response_payload"]["answer"]

    assert set(runs(ledger).values()) == {1}
    assert len(runs(ledger)) == 500
    events = await rows.events(chat)
    text = "".join(data["delta"] for kind, data in events if kind == "text-delta")
    assert text == answer
    assert [kind for kind, _ in events][-1] == "finish"


async def test_tasks_of_a_killed_worker_are_finished_by_another(
    workers: Fleet, stand_in: StandIn, db: Database
) -> None:
    victim = start(workers, stand_in, "--concurrency", "20")
    await alive(db, 1)
    await insert_many(db, 60, s=3)  # none ends before the kill
    await have_status(db, "processing", 10)

    victim.kill()
    start(workers, stand_in)

    await all_completed(db, 60)
    assert await db.fetch_value("SELECT count(*) FROM agent_task_requests WHERE attempt = 2") >= 10


async def test_a_blocked_event_loop_does_not_cost_the_lease(
    workers: Fleet, stand_in: StandIn, db: Database, ledger: Path
) -> None:
    start(workers, stand_in, AGENT_WORKER_LEASE_S="5")
    await alive(db, 1)
    await insert_many(db, 1, s=11, block=True)
    await have_status(db, "processing", 1)
    start(workers, stand_in)
    await alive(db, 2)

    await all_completed(db, 1)

    assert await db.fetch_value("SELECT attempt FROM agent_task_requests") == 1
    assert sum(runs(ledger).values()) == 1


async def test_results_of_an_outage_are_written_when_the_project_is_back(
    workers: Fleet, stand_in: StandIn, db: Database, ledger: Path
) -> None:
    start(workers, stand_in, AGENT_WORKER_HEARTBEAT_S="5", AGENT_WORKER_LEASE_S="60")
    await alive(db, 1)
    await insert_many(db, 20, s=5)  # none ends before the outage
    await have_begun(ledger, 20)

    stand_in.down()

    async def have_run() -> bool:
        return len(runs(ledger)) == 20

    await eventually(have_run, timeout_s=PATIENCE_S)
    assert await db.fetch_value("SELECT count(*) FROM agent_task_requests WHERE status = 'completed'") == 0
    stand_in.up()
    await all_completed(db, 20)
    await insert_many(db, 5)
    await all_completed(db, 25)
    assert set(runs(ledger).values()) == {1}


async def test_cancel_and_sigterm_stop_what_runs(
    workers: Fleet, stand_in: StandIn, db: Database, rows: Rows
) -> None:
    worker = start(workers, stand_in, AGENT_WORKER_SHUTDOWN_GRACE_S="0.2")
    await alive(db, 1)
    cancelled, released = [await rows.insert("traced", {"n": n, "s": 60}) for n in range(2)]
    await have_status(db, "processing", 2)

    await rows.cancel(cancelled)
    await rows.reaches(cancelled, "cancelled")
    worker.terminate()

    assert worker.wait() == 0
    task = await rows.task(released)
    assert (task["status"], task["attempt"]) == ("pending", 0)
    states = await db.fetch_all("SELECT state FROM agent_worker.workers")
    assert states == [("stopped",)]
