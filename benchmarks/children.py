"""Worker processes: start them, read what they tell, measure them, and kill them by their pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import tally
from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.failure import RunFailed

POLL_S = 0.002
START_TIMEOUT_S = 60.0
ROOT = Path(__file__).parents[1]

_FOREIGN = ("AGENT_WORKER_", "BENCH_", "PG", "DATABASE_URL", "OPENAI_")
"""Variables of the person's own environment that would change what is measured."""


class Child:
    """One running worker process.

    Args:
        process: The worker.
        stamps: What its handlers write (see `tally`).
        log: What it printed.
    """

    def __init__(self, process: subprocess.Popen[bytes], stamps: Path, log: Path) -> None:
        self._process = process
        self._stamps = stamps
        self._log = log

    @property
    def pid(self) -> int:
        """Of the process that does the work."""
        return self._process.pid

    def stamps(self) -> dict[str, int]:
        """Return the first time of each word that the handlers have written, in nanoseconds."""
        found: dict[str, int] = {}
        for line in self._stamps.read_text(encoding="ascii").splitlines():
            word, _, time_ns = line.partition(" ")
            found.setdefault(word, int(time_ns))
        return found

    def wait_for(self, word: str, timeout_s: float) -> int | None:
        """Wait until a handler has written a word; returns its time, or None when it takes too long.

        Raises:
            RunFailed: The process has ended instead.
        """
        deadline = time.monotonic() + timeout_s
        size = -1
        while True:
            if (now := self._stamps.stat().st_size) != size:
                size = now
                if (stamp := self.stamps().get(word)) is not None:
                    return stamp
            self.check()
            if time.monotonic() > deadline:
                return None
            time.sleep(POLL_S)

    def wait_for_count(self, count: int, timeout_s: float) -> dict[str, int]:
        """Wait until that many different words are there, or the time is up; returns what is there."""
        deadline = time.monotonic() + timeout_s
        while len(stamps := self.stamps()) < count and time.monotonic() < deadline:
            self.check()
            time.sleep(POLL_S)
        return stamps

    def check(self) -> None:
        """Raise RunFailed when the process has ended in error."""
        if self._process.poll() not in {None, 0}:
            raise RunFailed(f"exit code {self._process.returncode} · {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what it printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")[-2000:].strip()

    def memory_mib(self, line: str = "VmHWM") -> float:
        """Return the largest resident size so far, or with `VmRSS` the present one, in MiB; 0 where /proc lacks it."""
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
            for text in status.splitlines():
                if text.startswith(line):
                    return int(text.split()[1]) / 1024
        return 0.0

    def cpu_s(self) -> float:
        """Return the processor time used so far, in seconds."""
        return cpu_s_of(self.pid)

    def kill(self) -> None:
        """Kill it and wait for its end; twice is fine."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=30)


def cpu_s_of(pid: int) -> float:
    """Return the processor time that a process has used so far, in seconds; 0 where /proc lacks it."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


@contextlib.contextmanager
def running(contestant: Contestant, url: str, load: Load, scratch: Path) -> Iterator[Child]:
    """Start one worker process of a contestant; killed after the block."""
    number = time.monotonic_ns()
    stamps, log = scratch / f"{number}.stamps", scratch / f"{number}.log"
    stamps.touch()
    command = contestant.command(url, load)
    env = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    env |= {
        tally.STAMPS: str(stamps),
        tally.TOTAL: str(load.total),
        tally.SECONDS: str(load.seconds),
        tally.HANDLER: load.handler,
        "PYTHONPATH": str(ROOT),
    }
    if load.concurrency is not None:
        env[tally.CONCURRENCY] = str(load.concurrency)
    if load.lease_s is not None:
        env[tally.LEASE_S] = str(load.lease_s)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command.argv,
            cwd=scratch,
            env=env | command.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    child = Child(process, stamps, log)
    try:
        yield child
    finally:
        child.kill()
