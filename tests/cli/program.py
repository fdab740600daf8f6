"""The real program, as a person or a script runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("agent-worker")
PROCESSORS = Path(__file__).with_name("processors.py")
TIMEOUT_S = 90.0

FAST = {
    "AGENT_WORKER_MODEL": "echo/echo",
    "AGENT_WORKER_HEARTBEAT_S": "1",
    "AGENT_WORKER_LEASE_S": "3",
    "AGENT_WORKER_POLL_INTERVAL_S": "0.5",
    "AGENT_WORKER_BACKOFF_BASE_S": "0.05",
}


def environment(url: str | None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment in which nothing of the machine's own set-up is found."""
    strange = ("AGENT_WORKER_", "OPENAI_", "DATABASE_", "SUPABASE_", "PG", "NO_COLOR", "FORCE_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    return {**kept, **FAST, **({} if url is None else {"DATABASE_URL": url}), **(extra or {})}


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON document."""
        return json.loads(self.out)


class Background:
    """A command that goes on, with its output in files."""

    def __init__(self, folder: Path, number: int, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        self.out, self.err = folder / f"{number}.out", folder / f"{number}.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [PROGRAM, *arguments], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Return the exit code."""
        return self.process.wait(TIMEOUT_S)

    def stop(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(TIMEOUT_S)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of one event so far."""
        lines = self.err.read_text().split("\n")[:-1]
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in parsed if line["event"] == name]

    def until(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Return an event's log lines once there are `count`."""
        try:
            until(lambda: len(self.events(name)) >= count)
        except TimeoutError as exc:
            raise AssertionError(f"no {name} in:\n{self.err.read_text()}") from exc
        return self.events(name)


class Program:
    """Runs `agent-worker` in a folder of its own."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.url = url
        self.background: list[Background] = []

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [PROGRAM, *arguments],
            cwd=self.folder,
            env=environment(self.url, env),
            input=text or "",
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> Background:
        """Start a command that goes on."""
        started = Background(self.folder, len(self.background), arguments, environment(self.url, env))
        self.background.append(started)
        return started

    def stop(self) -> None:
        """End everything that still runs."""
        for started in self.background:
            started.stop()


def until(fact: Callable[[], object], *, timeout_s: float = TIMEOUT_S) -> None:
    """Return as soon as `fact` holds.

    Raises:
        TimeoutError: It did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
