"""List workers, and have one leave from afar."""

from __future__ import annotations

import re

import pytest

from tests.cli.program import Program

pytestmark = pytest.mark.slow


def test_a_worker_is_listed_until_it_is_told_to_leave_and_its_process_ends(program: Program) -> None:
    assert program("workers", "list").out == "no workers\n"
    process = program.start("run", "--name", "walter", "--concurrency", "3")
    process.until("worker.started")

    listed = program("workers", "list").out
    assert re.search(r"^walter +running +0/3 +\d+\.\d s ago +.*\becho\b", listed, re.MULTILINE)

    done = program("workers", "drain", "walter")

    assert (done.code, done.out) == (0, "walter finishes what it runs, and leaves\n")
    assert process.wait() == 0
    assert process.events("worker.drain_asked")
    assert program("workers", "list", "--json").json == []


def test_a_worker_that_nobody_knows_is_not_drained(program: Program) -> None:
    done = program("workers", "drain", "nobody", "--json")

    assert (done.code, done.out) == (2, "")
    assert "no living worker is called nobody · `agent-worker workers list` shows all" in done.err


def test_one_of_several_processes_leaves_and_the_others_stay(program: Program) -> None:
    process = program.start("run", "--name", "walter", "--processes", "2")
    process.until("worker.started", 2)

    assert program("workers", "drain", "walter-0", "--json").json["name"] == "walter-0"

    process.until("process.ended")
    (left,) = program("workers", "list", "--json").json
    assert left["name"] == "walter-1"
