"""`agent-worker dev`, started and stopped by tests on a port that stays the same."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from agent_worker.embedded.places import remove_data
from tests.cli.program import Background, Program, until

PROCESSORS = Path(__file__).with_name("processors.py")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Dev:
    """The running command and what it printed."""

    def __init__(self, folder: Path, port: int, env: Mapping[str, str] | None = None) -> None:
        self.program = Program(folder, None)
        self.folder = folder
        self._port = port
        self._env = env
        self._running: Background | None = None
        self.printed: dict[str, Any] = {}

    def up(self) -> None:
        """Start it and wait until it is ready."""
        kinds = [f"{PROCESSORS}:{name}" for name in ("Count", "Gate", "Approve")]
        options = [option for kind in kinds for option in ("--processor", kind)]
        started = self.program.start("dev", "--json", "--port", str(self._port), *options, env=self._env)
        until(lambda: started.out.read_text().endswith("\n") or started.process.poll() is not None)
        assert started.process.poll() is None, started.err.read_text()
        self._running, self.printed = started, json.loads(started.out.read_text())

    def down(self, with_signal: int = signal.SIGTERM) -> None:
        """Stop it and wait for its end."""
        assert self._running is not None
        self._running.process.send_signal(with_signal)
        self._running.wait()

    def remove_data(self) -> None:
        """Leave nothing behind."""
        remove_data(self.folder / ".agent-worker")

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        return str(self.printed["url"])

    @property
    def publishable_key(self) -> str:
        """The key for browsers."""
        return str(self.printed["publishable_key"])

    @property
    def secret_key(self) -> str:
        """The key for servers."""
        return str(self.printed["secret_key"])

    @property
    def query(self) -> str:
        """How the pages learn of it."""
        return urlencode({"url": self.url, "key": self.publishable_key})

    def workers(self) -> list[dict[str, Any]]:
        """The living workers, as `agent-worker status --json` tells them."""
        return list(self.program("status", "--json").json["workers"])
