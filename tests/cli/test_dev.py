"""The commands that bring their own database: dev, demo, and whoever joins them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.embedded.places import remove_data
from tests.cli.program import Background, Program, is_alive, until

pytestmark = pytest.mark.slow


@pytest.fixture
def home() -> Iterator[Program]:
    """A folder in which a server that root starts, which runs as another account, reaches its data."""
    with tempfile.TemporaryDirectory(prefix="agent-worker-test-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        program = Program(folder, None)
        yield program
        program.stop()
        until(lambda: _removed(folder / ".agent-worker"))


def _removed(data_dir: Path) -> bool:
    """Whether nothing is left; the server of a killed process needs a moment to end."""
    try:
        remove_data(data_dir)
    except DatabaseUnavailable:
        return False
    return True


def ready(dev: Background) -> dict[str, Any]:
    until(lambda: dev.out.read_text().endswith("\n") or dev.process.poll() is not None)
    (line,) = dev.out.read_text().splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


def test_dev_prints_one_line_when_it_is_ready_and_ends_with_sigterm(home: Program) -> None:
    dev = home.start("dev", "--json", "--port", "0")
    document = ready(dev)

    assert document["pid"] == dev.process.pid
    assert document["dashboard_url"] == f"{document['url']}/"
    for name, prefix in (("publishable_key", "sb_publishable_"), ("secret_key", "sb_secret_")):
        assert document[name].startswith(prefix)
    with urllib.request.urlopen(f"{document['url']}/readyz") as answer:
        assert answer.status == 200
    assert (document["kinds"], document["model"]) == (["chat", "echo", "pipeline"], "echo/echo")
    assert home(
        "submit", "hello", "--kind", "echo", "--wait", env={"DATABASE_URL": document["database_url"]}
    ).out == ("hello\n")
    assert home("check").code == 0

    dev.terminate()

    assert dev.wait() == 0
    assert dev.out.read_text().count("\n") == 1
    assert home("status").out.startswith("no worker is running · 0 waiting\n")


def test_dev_keeps_its_keys_and_takes_a_free_port_where_the_usual_one_is_taken(home: Program) -> None:
    first = home.start("dev", "--json", env={"AGENT_WORKER_GATEWAY_PORT": "0"})
    before = ready(first)
    first.terminate()
    first.wait()
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # by somebody else, which does as well
            taken.bind(("127.0.0.1", 54321))
            taken.listen()
        after = ready(home.start("dev", "--json"))

    assert not after["url"].endswith(":54321")
    kept = ("publishable_key", "secret_key", "jwt_secret")
    assert [after[name] for name in kept] == [before[name] for name in kept]


def test_dev_says_so_where_the_port_somebody_chose_is_taken(home: Program) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = home("dev", "--json", "--port", port)

    assert refused.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.err


def test_a_killed_dev_leaves_nobody_behind(home: Program) -> None:
    dev = home.start("dev", "--json", "--port", "0")
    url = ready(dev)["database_url"]
    pids = [worker["pid"] for worker in home("status", "--json").json["workers"]]

    dev.process.kill()

    until(lambda: not any(map(is_alive, pids)))
    assert home("status", "--database-url", url).code == 3


def test_a_worker_outlives_the_owner_of_the_database_it_joined(home: Program) -> None:
    owner = home.start("submit", "first", "--kind", "echo", "--run-at", "1h", "--wait")
    until(lambda: "note: " in owner.err.read_text())
    worker = home.start("run")
    worker.until("worker.started")

    os.kill(owner.process.pid, signal.SIGINT)

    assert owner.wait() == 130
    assert owner.err.read_text().count("\n") == 1
    worker.until("database.taken_over")
    until(lambda: home("submit", "second", "--kind", "echo", "--wait").out == "second\n")


@pytest.mark.local_model
def test_demo_tells_its_story_and_leaves_nothing(home: Program) -> None:
    env = {"TMPDIR": str(home.folder), "OPENAI_API_KEY": "sk-none", "AGENT_WORKER_CONCURRENCY": "0"}

    done = home("demo", env=env)

    assert (done.code, done.err) == (0, "")
    story = [
        "is up",
        "made the tables",
        "are live",
        "What does a database do?",
        "24/24",
        "15 completed, 1 failed",
    ]
    found = [done.out.find(part) for part in story]
    assert found == sorted(found)
    assert -1 not in found
    assert max(map(len, done.out.splitlines())) <= 80
    assert list(home.folder.glob("agent-worker-demo-*")) == []
    commands = (_text(folder / "cmdline") for folder in Path("/proc").iterdir() if folder.name.isdigit())
    assert not [command for command in commands if f"{home.folder}/agent-worker-demo" in command]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
