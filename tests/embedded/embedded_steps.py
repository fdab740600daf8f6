"""What the tests of this room do again and again: own a server in another process, wait, look, count."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

from agent_worker.embedded import find_running
from agent_worker.embedded.locks import is_cluster_free

DEADLINE_S = 60.0

OWNER = """
import json, os, sys, threading
from pathlib import Path
from agent_worker.domain.errors import AgentWorkerError
from agent_worker.embedded import EmbeddedPostgres

def start():
    try:
        postgres = EmbeddedPostgres.start_or_join(Path(sys.argv[1]))
    except AgentWorkerError as error:
        said = {"error": type(error).__name__, "message": str(error)}
    else:
        said = {"url": postgres.url, "owned": postgres.owned, "version": postgres.version}
    print(json.dumps(said), flush=True)

match sys.argv[2]:
    case "thread":
        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
    case "forking":
        start()
        if os.fork() == 0:  # holds every descriptor of the owner open, and outlives it
            print(os.getpid(), flush=True)
            sys.stdin.read()
            os._exit(0)
    case "limited":
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        start()
    case _:
        start()
sys.stdin.readline()
"""


@dataclass
class Owner:
    """A process that called `start_or_join` and now waits for a line on its stdin."""

    process: subprocess.Popen[str]

    def said(self) -> dict[str, str]:
        """Return what came of it: `{"url", "owned", "version"}` or `{"error", "message"}`."""
        assert self.process.stdout is not None
        answer: dict[str, str] = json.loads(self.process.stdout.readline())
        return answer

    def line(self) -> str:
        """Return the next line it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        """SIGKILL: it runs no code any more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def leave(self) -> None:
        """Let it end by itself, without calling `stop`."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(DEADLINE_S) == 0


StartOwner = Callable[..., Owner]
"""`start_owner(data_dir, how, prefix=…)`: see the fixture."""


def wait_until(condition: Callable[[], object]) -> None:
    """Poll a condition until it holds, at most DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_gone(data_dir: Path) -> bool:
    """Tell whether no process of a data directory's server is left."""
    return is_cluster_free(data_dir / "postgres") and find_running(data_dir) is None


def server_pid(data_dir: Path) -> int:
    """Return the postmaster's pid as the state file has it."""
    state: dict[str, int] = json.loads((data_dir / "postgres.json").read_text())
    return state["pid"]


def write_row(url: str) -> None:
    """Add a row to table `kept`."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('here')")


def count_rows(url: str) -> int:
    """Count the rows of table `kept`."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert row is not None
    return int(row[0])
