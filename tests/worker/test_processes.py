"""Heavy work: processors in processes of their own, which really stop."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.db.definitions import Definitions
from agent_worker.processors.echo import Echo
from agent_worker.worker.pool.remote import RemoteTaskContext
from agent_worker.worker.threads import SyncTaskContext
from tests.cli.program import Program, is_alive, until
from tests.waiting import eventually
from tests.worker import heavy
from tests.worker.conftest import Rows, StartWorker, process_pool

PATIENT = {"cancel_grace_s": 60.0}
"""As in production: longer than a process gets."""

BOTH = ["thread", "process"]


async def pids(rows: Rows, task_id: UUID) -> list[int]:
    """The processes that the newest attempt of a task told of, once it has."""

    async def has_told() -> bool:
        return "pids" in await rows.types(task_id)

    await eventually(has_told)
    return [data["pids"] for kind, data in await rows.events(task_id) if kind == "pids"][-1]


async def are_gone(numbers: list[int]) -> None:
    async def none_lives() -> bool:
        return not any(map(is_alive, numbers))

    await eventually(none_lives)


# Stopping


@pytest.mark.slow
async def test_a_computation_that_looks_at_nothing_is_killed_at_its_timeout_with_what_it_started(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(heavy.Spin(), **PATIENT) as worker:
        task_id = await rows.insert("spin", timeout_s=1, max_attempts=2)
        first = await pids(rows, task_id)
        assert all(map(is_alive, first))
        task = await rows.reaches(task_id, "failed")
        await are_gone([*first, *await pids(rows, task_id)])
        assert worker.executor.in_flight == 0
    assert (task["response_payload"]["code"], task["attempt"]) == ("timeout", 2)


async def test_a_cancelled_computation_is_killed(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(heavy.Spin(), heavy.Who(), **PATIENT):
        task_id = await rows.insert("spin", {"holds_the_lock": True})
        numbers = await pids(rows, task_id)
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
        await are_gone(numbers)
        await rows.reaches(await rows.insert("who"), "completed")


async def test_a_processor_that_looks_at_cancelled_keeps_its_process(
    start_worker: StartWorker, rows: Rows
) -> None:
    processors = (heavy.Listens(), heavy.Who())
    async with start_worker(*processors, **PATIENT, processes=process_pool(processors, size=1)):
        task_id = await rows.insert("listens")
        (pid,) = await pids(rows, task_id)
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
        after = await rows.reaches(await rows.insert("who"), "completed")
    assert after["response_payload"]["pid"] == pid
    assert "text-delta" not in await rows.types(task_id)


async def test_an_attempt_whose_lease_is_lost_is_killed(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(heavy.Spin(), **PATIENT) as worker:
        task_id = await rows.insert("spin")
        numbers = await pids(rows, task_id)
        (attempt,) = worker.executor._attempts.values()
        worker.executor.lose(attempt.lease)
        await are_gone(numbers)


async def test_drain_lets_a_process_finish_and_leaves_none(
    start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    async with start_worker(heavy.Who(), **PATIENT) as worker:
        task_id = await rows.insert("who", {"until": str(tmp_path / "go")})
        numbers = await pids(rows, task_id)
        draining = asyncio.create_task(worker.drain())
        await worker.heavy_claimer.stop()
        (tmp_path / "go").touch()
        await draining
        assert not any(map(is_alive, numbers))
    assert await rows.status(task_id) == "completed"


@pytest.mark.parametrize("in_a_hurry", [False, True])
async def test_drain_kills_what_does_not_finish_and_gives_it_back(
    start_worker: StartWorker, rows: Rows, in_a_hurry: bool
) -> None:
    stop_now = asyncio.Event()
    async with start_worker(heavy.Spin(), **PATIENT, shutdown_grace_s=600 if in_a_hurry else 0.1) as worker:
        task_id = await rows.insert("spin", max_attempts=1)
        numbers = await pids(rows, task_id)
        if in_a_hurry:
            stop_now.set()
        await asyncio.wait_for(worker.drain(stop_now=stop_now), 30)
        assert not any(map(is_alive, numbers))
    task = await rows.task(task_id)
    assert (task["status"], task["attempt"], task["worker_id"]) == ("pending", 0, None)


# Dying


@pytest.mark.parametrize(
    ("how", "cause"),
    [("segfault", "signal 11"), ("exit", "exit code 3"), ("hang up", "exit code 1")],
)
async def test_a_process_that_dies_is_one_failed_attempt(
    start_worker: StartWorker, rows: Rows, how: str, cause: str
) -> None:
    async with start_worker(heavy.Die(), heavy.Who()):
        mortal = await rows.insert("die", {"how": how, "times": 1})
        lost = await rows.insert("die", {"how": how, "times": 99}, max_attempts=1)
        after = await rows.insert("who")
        assert (await rows.reaches(mortal, "completed"))["response_payload"] == {"answer": 2}
        failure = (await rows.reaches(lost, "failed"))["response_payload"]
        await rows.reaches(after, "completed")
    assert (failure["code"], failure["retryable"]) == ("worker_process_died", True)
    assert cause in failure["error"]


async def test_a_process_that_dies_with_nothing_to_do_costs_no_attempt(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(heavy.Who()):
        first = await rows.reaches(await rows.insert("who"), "completed")
        pid = first["response_payload"]["pid"]
        os.kill(pid, signal.SIGKILL)

        async def is_buried() -> bool:
            return not Path(f"/proc/{pid}").exists()

        await eventually(is_buried)
        second = await rows.reaches(await rows.insert("who", max_attempts=1), "completed")
    assert second["response_payload"]["pid"] != pid


async def test_signals_that_are_meant_for_the_worker_do_not_end_its_processes(
    start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    async with start_worker(heavy.Who()):
        task_id = await rows.insert("who", {"until": str(tmp_path / "go")}, max_attempts=1)
        (pid,) = await pids(rows, task_id)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        (tmp_path / "go").touch()
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["group"] == pid != os.getpgrp()


# Used again, and not


async def test_a_process_is_used_again_until_an_unnamed_error(start_worker: StartWorker, rows: Rows) -> None:
    processors = (heavy.Who(), heavy.RaiseInProcess())
    async with start_worker(*processors, processes=process_pool(processors, size=1)):

        async def pid() -> int:
            return int((await rows.reaches(await rows.insert("who"), "completed"))["response_payload"]["pid"])

        first = await pid()
        await rows.reaches(await rows.insert("raise-process", {"what": "own"}), "failed")
        assert await pid() == first
        await rows.reaches(await rows.insert("raise-process", {"what": "odd"}, max_attempts=1), "failed")
        assert await pid() != first


async def test_a_process_with_nothing_to_do_ends(start_worker: StartWorker, rows: Rows) -> None:
    processors = (heavy.Who(),)
    async with start_worker(*processors, processes=process_pool(processors, idle_s=0.05)):
        first = await rows.reaches(await rows.insert("who"), "completed")
        await are_gone([first["response_payload"]["pid"]])
        await rows.reaches(await rows.insert("who"), "completed")


# Side by side


@pytest.mark.slow
async def test_eight_computations_run_side_by_side_while_the_event_loop_goes_on(
    start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    processors = (heavy.Who(), Echo())
    pool = process_pool(processors, size=8)
    async with start_worker(
        *processors, processes=pool, concurrency=20, heartbeat_s=0.5, lease_s=20.0
    ) as worker:
        busy = [await rows.insert("who", {"until": str(tmp_path / "go")}) for _ in range(8)]
        numbers = [number for task_id in busy for number in await pids(rows, task_id)]
        assert len(set(numbers)) == 8
        assert pool.busy == 8
        for n in range(20):
            await rows.reaches(await rows.insert("echo", {"prompt": str(n)}), "completed")
        assert worker.heartbeat.age_s < 20.0
        (tmp_path / "go").touch()
        for task_id in busy:
            assert (await rows.reaches(task_id, "completed"))["attempt"] == 1


async def test_a_worker_takes_no_more_heavy_tasks_than_it_has_processes(
    start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    processors = (heavy.Who(), Echo())
    payload = {"until": str(tmp_path / "go")}
    async with start_worker(*processors, processes=process_pool(processors, size=1)):
        first = await rows.insert("who", payload)
        await pids(rows, first)
        second = await rows.insert("who", payload)
        await rows.reaches(await rows.insert("echo", {"prompt": "x"}), "completed")
        assert await rows.status(second) == "pending"
        async with start_worker(*processors, processes=process_pool(processors, size=1)):
            await pids(rows, second)
            (tmp_path / "go").touch()
            for task_id in (first, second, await rows.insert("who")):
                await rows.reaches(task_id, "completed")


async def test_a_full_pool_leaves_the_bell_of_other_kinds_armed(
    start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    processors = (heavy.Who(), Echo())
    pool = process_pool(processors, size=1)
    async with start_worker(*processors, processes=pool, poll_interval_s=60.0) as worker:

        async def both_sleep() -> bool:
            return worker.claimer.watch.is_armed and worker.heavy_claimer.watch.is_armed

        await eventually(both_sleep)
        busy = await rows.insert("who", {"until": str(tmp_path / "go")})
        await pids(rows, busy)
        assert not worker.heavy_claimer.watch.kinds, "it has no process left"
        await rows.reaches(await rows.insert("echo", {"prompt": "x"}), "completed")
        (tmp_path / "go").touch()
        await rows.reaches(busy, "completed")
        await rows.reaches(await rows.insert("who"), "completed")


# The context, in both ways


def test_both_contexts_have_the_same_methods() -> None:
    def shape(cls: type) -> dict[str, Any]:
        members = inspect.getmembers(
            cls, lambda member: inspect.isfunction(member) or isinstance(member, property)
        )
        return {
            name: inspect.signature(member) if inspect.isfunction(member) else "property"
            for name, member in members
            if not name.startswith("_")
        }

    assert shape(RemoteTaskContext) == shape(SyncTaskContext)
    assert shape(RemoteTaskContext._Notes) == shape(SyncTaskContext._Notes)


@pytest.mark.parametrize("way", BOTH)
async def test_everything_a_context_offers_works(
    start_worker: StartWorker, rows: Rows, tmp_path: Path, way: str
) -> None:
    processors = (heavy.BookInThread(), heavy.BookInProcess(), Echo())
    await Definitions(rows.db, f"book-{way}").push("flight", {"to": "Rome"})
    async with start_worker(*processors):
        task_id = await rows.insert(
            f"book-{way}", {"log": str(tmp_path / "log")}, max_attempts=1, user_id=uuid4()
        )
        waiting = await rows.reaches(task_id, "waiting")
        await rows.answer(task_id, {"approved": True})

        async def asks_the_client() -> bool:
            question = await rows.question(task_id)
            return bool(question["type"] == "client_tool" and question["status"] == "pending")

        await eventually(asks_the_client)
        await rows.answer(task_id, {"toolResults": [{"toolCallId": "c1", "result": "noon"}]})
        task = await rows.reaches(task_id, "completed")
    assert waiting["progress"] == {"percent": 50, "note": "half"}
    assert task["response_payload"] == {
        "note": "answered",
        "seat": {"seat": ["12", "A"]},
        "decision": {"approved": True},
        "clock": "noon",
        "child": "child",
        "flight": "Rome",
        "key": f"{task_id}:reserve",
        "left": True,
        "cancelled": False,
    }
    assert (tmp_path / "log").read_text() == "reserved\n", "the step ran once"
    events = await rows.events(task_id)
    assert [data.get("step") for kind, data in events if kind in {"seat-reserved", "text-delta"}][:3] == [
        "reserve",
        "reserve",
        None,
    ]


@pytest.mark.parametrize("way", BOTH)
@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("odd", ("internal_error", "The processor failed with Odd; the worker's log has the details.")),
        ("own", ("refused", "It is refused.")),
        ("payload", ("invalid_payload", "$.city must be a string")),
        ("group", ("one", "One.")),
        ("key", ("key_reused", "The key 'k' was used for a value call before and now for a step call.")),
        ("unstorable", ("unstorable_result", "the result of 'k' (Object of type set is not JSON")),
        ("no object", ("invalid_response", "The processor returned list")),
        ("nan", ("invalid_response", "The processor's response is not JSON")),
        ("definition", ("unknown_definition", "There is no raise-")),
        ("timeout of child", ("child_failed", "failed: Dead.")),
        ("wrong argument", ("internal_error", "The processor failed with TypeError")),
    ],
)
async def test_errors_tell_the_same(
    start_worker: StartWorker, rows: Rows, way: str, what: str, expected: tuple[str, str]
) -> None:
    async with start_worker(heavy.RaiseInThread(), heavy.RaiseInProcess(), heavy.DieAtOnce()):
        task_id = await rows.insert(f"raise-{way}", {"what": what}, max_attempts=1)
        await rows.reaches(task_id, "failed")
        failure = (await rows.task(task_id))["response_payload"]
    assert failure["code"] == expected[0]
    assert expected[1] in failure["error"]
    assert "secret" not in str(failure)


# Much


@pytest.mark.slow
async def test_a_large_answer_and_many_events_arrive_whole_and_in_order(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(heavy.Loud()):
        task_id = await rows.insert("loud", {"size": 5_000_000, "events": 1_000, "threads": 3})
        task = await rows.reaches(task_id, "completed", timeout_s=30)
    assert task["response_payload"] == {"answer": "x" * 5_000_000}
    said = [data for kind, data in await rows.events(task_id) if kind == "said"]
    for thread in range(3):
        assert [data["n"] for data in said if data["thread"] == thread] == list(range(1_000))


# The whole program


@pytest.fixture
def program(tmp_path: Path, database_url: str) -> Iterator[Program]:
    made = Program(tmp_path, database_url)
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.parametrize("holds_the_lock", [False, True])
async def test_a_worker_that_is_killed_leaves_no_processes(
    program: Program, rows: Rows, holds_the_lock: bool
) -> None:
    worker = program.start("run", "--processor", f"{heavy.__file__}:Spin")
    worker.until("worker.started")
    task_id = await rows.insert("spin", {"holds_the_lock": holds_the_lock})
    numbers = await pids(rows, task_id)
    worker.process.kill()
    await are_gone(numbers)


@pytest.mark.slow
async def test_a_process_of_a_script_logs_as_the_worker_does_and_does_not_know_the_database(
    program: Program, rows: Rows
) -> None:
    options = [
        option
        for name in ("Who", "Loud", "RaiseInProcess")
        for option in ("--processor", f"{heavy.__file__}:{name}")
    ]
    worker = program.start("run", "--name", "ada", *options)
    worker.until("worker.started")
    who = await rows.insert("who")
    assert (await rows.reaches(who, "completed"))["response_payload"]["database"] is None
    (line,) = worker.until("half way")
    assert (line["task_id"], line["worker"], line["level"]) == (str(who), "ada", "warning")
    await rows.reaches(await rows.insert("loud", {"size": 1, "events": 1}), "completed")
    assert "from standard output" in worker.out.read_text()
    await rows.reaches(await rows.insert("raise-process", {"what": "odd"}, max_attempts=1), "failed")
    (crash,) = worker.until("task.crashed")
    assert 'raise Odd("secret", "detail")' in crash["exception"]
    worker.terminate()
    assert worker.wait() == 0
    until(lambda: worker.events("worker.stopped"))
