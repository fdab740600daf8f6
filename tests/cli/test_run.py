"""Workers in production: draining, several processes, crashes, and a parent that is killed."""

from __future__ import annotations

import os
import signal
import urllib.request
from typing import Any

import pytest

from tests.cli.program import PROCESSORS, Background, Program, is_alive, until

pytestmark = pytest.mark.slow

SLOW = f"--processor={PROCESSORS}:Slow"


def workers(program: Program) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = program("status", "--json").json["workers"]
    return found


def a_running_task(program: Program, worker: Background, *, seconds: float) -> str:
    done = program("submit", "--kind", "slow", "--payload", f'{{"seconds": {seconds}}}')
    worker.until("task.claimed")
    return done.out.strip()


def task(program: Program, task_id: str) -> dict[str, Any]:
    found: dict[str, Any] = program("tasks", "show", task_id, "--json").json
    return found


def test_sigterm_lets_a_running_task_finish(program: Program) -> None:
    worker = program.start("run", SLOW)
    worker.until("worker.started")
    task_id = a_running_task(program, worker, seconds=1.5)

    worker.terminate()

    assert worker.wait() == 0
    assert task(program, task_id)["status"] == "completed"
    assert worker.events("worker.stopped")
    assert worker.out.read_text() == ""


def test_a_second_signal_gives_tasks_back_at_once(program: Program) -> None:
    worker = program.start("run", SLOW)
    worker.until("worker.started")
    task_id = a_running_task(program, worker, seconds=60)

    worker.terminate()
    worker.until("worker.draining")
    worker.process.send_signal(signal.SIGINT)

    assert worker.wait() == 0
    found = task(program, task_id)
    assert (found["status"], found["attempt"]) == ("pending", 0)


def test_processes_are_numbered_serve_metrics_and_drain_together(program: Program) -> None:
    port = 21_000 + os.getpid() % 10_000
    parent = program.start("run", "--processes", "2", "--name", "bee", "--metrics-port", str(port), SLOW)
    started = parent.until("worker.started", count=2)
    assert {event["name"] for event in started} == {"bee-0", "bee-1"}
    for number in (port, port + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{number}/readyz", timeout=30) as reply:
            assert reply.status == 200
        with urllib.request.urlopen(f"http://127.0.0.1:{number}/metrics", timeout=30) as reply:
            assert b"\nagent_worker_breakers_open 0.0\n" in reply.read()
    task_id = a_running_task(program, parent, seconds=1.5)

    parent.terminate()

    assert parent.wait() == 0
    assert task(program, task_id)["status"] == "completed"
    assert workers(program) == []


def test_a_crashed_process_is_restarted_under_a_new_name(program: Program) -> None:
    parent = program.start("run", "--processes", "2", "--name", "bee")
    parent.until("worker.started", count=2)
    (victim,) = [worker for worker in workers(program) if worker["name"] == "bee-1"]

    os.kill(victim["pid"], signal.SIGKILL)

    (crash,) = parent.until("process.crashed")
    assert (crash["index"], crash["ended_by"]) == (1, "signal 9 (Killed)")
    assert parent.until("worker.started", count=3)[2]["name"] == "bee-1.2"
    parent.terminate()
    assert parent.wait() == 0


def test_children_of_a_killed_parent_give_their_tasks_back_and_end(program: Program) -> None:
    parent = program.start("run", "--processes", "2", SLOW)
    parent.until("worker.started", count=2)
    task_id = a_running_task(program, parent, seconds=60)
    pids = [worker["pid"] for worker in workers(program)]

    parent.process.kill()

    until(lambda: not any(map(is_alive, pids)))
    found = task(program, task_id)
    assert (found["status"], found["attempt"]) == ("pending", 0)


def test_a_child_that_refuses_its_configuration_ends_them_all_with_2(program: Program) -> None:
    other = program.start("run", "--name", "bee-1")
    other.until("worker.started")

    done = program("run", "--processes", "2", "--name", "bee")

    assert done.code == 2
    assert "the worker name is taken by bee-1" in done.err
