"""Status, watch and check, with a worker and without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import Program, environment, until

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_status_begins_with_what_is_wrong_and_what_mends_it(program: Program) -> None:
    program("submit", "hello")

    done = program("status")
    assert done.code == 0
    assert re.match(r"no worker is running · 1 waiting \(oldest .*\)\nrun: agent-worker run\n", done.out)
    assert "\x1b" not in done.out
    document = program("status", "--json").json
    assert (document["healthy"], document["command"], document["pending"]) == (False, "agent-worker run", 1)


def test_status_of_a_healthy_fleet(fleet: Program) -> None:
    done = fleet("status")

    assert re.match(r"healthy · 1 worker · 0 waiting · ", done.out)
    assert re.search(
        r"^walter  running  0/100  .* ago  chat, echo, flaky, pipeline, slow$", done.out, re.MULTILINE
    )
    assert max(map(len, done.out.splitlines())) <= 80
    (worker,) = fleet("status", "--json").json["workers"]
    assert worker["state"] == "running"


def test_check_times_a_task_through_the_worker(fleet: Program) -> None:
    done = fleet("check")

    assert (done.code, done.err) == (0, "")
    looked_at = re.findall(r"^✓ ok  (\w+)", done.out, re.MULTILINE)
    assert looked_at == ["connection", "schema", "rights", "worker", "round"]
    assert re.search(r"answered in \S+ m?s · waited \S+ m?s, ran \S+ m?s$", done.out)
    document = fleet("check", "--json").json
    assert document["ok"] is True
    assert [finding["verdict"] for finding in document["findings"]] == ["ok"] * 5


def test_check_exits_with_1_without_a_worker_and_with_3_without_a_database(program: Program) -> None:
    done = program("check")
    assert done.code == 1
    assert "✗ failed  worker" in done.out
    assert "start one: agent-worker run" in done.out

    done = program("check", "--json", "--database-url", "postgresql://somebody@127.0.0.1:1/nowhere")
    assert done.code == 3
    (finding,) = done.json["findings"]
    assert (finding["name"], finding["verdict"]) == ("connection", "failed")
    assert finding["fix"].startswith("start it, or unset DATABASE_URL")


def test_watch_without_a_terminal_prints_what_changes_and_json_lines(program: Program) -> None:
    watching = program.start("watch", "--interval-s", "0.2")
    streaming = program.start("watch", "--interval-s", "0.2", "--json")
    try:
        until(lambda: "0 waiting" in watching.out.read_text() and streaming.out.read_text() != "")
        program("submit", "hello")
        until(lambda: "1 waiting" in watching.out.read_text())
        until(lambda: '"pending": 1' in streaming.out.read_text())
    finally:
        watching.stop()
        streaming.stop()

    assert watching.out.read_text().startswith("no worker is running · 0 waiting\n")
    assert [json.loads(line)["pending"] for line in streaming.out.read_text().splitlines()][-1] == 1


@pytest.mark.parametrize(
    ("script", "beginning"),
    [("test_worker_connection.py", "✓ ok  connection"), ("check_worker_status.py", "healthy · 1 worker")],
)
def test_the_scripts_do_what_the_commands_do(fleet: Program, script: str, beginning: str) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / script],
        env=environment(fleet.url),
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith(beginning)
