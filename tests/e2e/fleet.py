"""Real worker processes under a test's control."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tests.e2e.steps import PATIENCE_S

PROCESSORS = Path(__file__).parent / "processors.py"

FAST = {
    "AGENT_WORKER_HEARTBEAT_S": "1",
    "AGENT_WORKER_LEASE_S": "3",
    "AGENT_WORKER_LOG_FORMAT": "json",
}

"""Of short leases, so that the tasks of the dead are soon run by others."""

ALL_LIVE = {"AGENT_WORKER_LEASE_S": "60"}
"""Where no worker dies: one that a busy machine keeps waiting is not taken for dead."""


class WorkerProcess:
    """`agent-worker run` in a process of its own, logging to a file; a prefix may start it elsewhere."""

    def __init__(
        self,
        database_url: str,
        log: IO[str],
        *options: str,
        env: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.log = Path(log.name)
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "agent_worker.cli", "run", *options],
            env={**os.environ, **FAST, "DATABASE_URL": database_url, **(env or {})},
            stdout=log,
            stderr=log,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: no chance to say good-bye."""
        self._process.kill()
        self._process.wait(10)

    def terminate(self) -> None:
        """SIGTERM: drain."""
        self._process.send_signal(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: everything in it stands still, the heartbeat too."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self._process.send_signal(signal.SIGCONT)

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Return the exit code."""
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self.kill()


class Fleet:
    """Starts workers and ends those that are left."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._database_url = database_url
        self._folder = folder
        self.workers: list[WorkerProcess] = []

    def start(self, *options: str, env: dict[str, str] | None = None) -> WorkerProcess:
        """Start a worker with our test processors besides the built-in ones."""
        with (self._folder / f"worker-{len(self.workers)}.log").open("w") as log:
            worker = WorkerProcess(
                self._database_url,
                log,
                "--processor",
                f"{PROCESSORS}:Traced",
                "--processor",
                f"{PROCESSORS}:AskTwice",
                *options,
                env=env,
            )
        self.workers.append(worker)
        return worker


@contextlib.contextmanager
def fleet(database_url: str, folder: Path) -> Iterator[Fleet]:
    """A fleet that ends with the block; on a failure its logs are shown."""
    started = Fleet(database_url, folder)
    try:
        yield started
    except BaseException:
        for worker in started.workers:
            sys.stderr.write(f"--- {worker.log}\n{worker.log.read_text()[-4000:]}\n")
        raise
    finally:
        for worker in started.workers:
            worker.stop()
