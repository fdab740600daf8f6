"""What a handler tells the harness: lines in a file, written by the worker's process.

All times are CLOCK_MONOTONIC in nanoseconds, which every process of a machine shares.

```
first 5123000000           the first handler began
last 5124000000            the handler of the last expected task began
17 5123400000              the handler of task 17 began
```
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

HANDLER = "BENCH_HANDLER"
"""Environment variable: the handler, and the kind of its tasks. noop and nap count, stamp and hang say when each task began."""
SECONDS = "BENCH_SECONDS"
"""Environment variable: how long a handler takes."""
TOTAL = "BENCH_TOTAL"
"""Environment variable: how many handlers begin until `last` is written."""
STAMPS = "BENCH_STAMPS"
"""Environment variable: the file that lines are appended to."""
CONCURRENCY = "BENCH_CONCURRENCY"
"""Environment variable: most tasks at once; unset means what suits the contestant best."""
LEASE_S = "BENCH_LEASE_S"
"""Environment variable: seconds of silence after which a worker counts as dead; unset means the contestant's default."""

COUNTING = ("noop", "nap")


class Tally:
    """The one handler of a worker process, as the environment describes it.

    Attributes:
        kind: Of the tasks.
    """

    def __init__(self) -> None:
        self.kind = os.environ[HANDLER]
        self._counts = self.kind in COUNTING
        self._seconds = float(os.environ[SECONDS])
        self._total = int(os.environ[TOTAL])
        self._count = 0
        # No buffer: a line is there when the call returns, also when the process is killed right after.
        self._file = os.open(os.environ[STAMPS], os.O_WRONLY | os.O_APPEND)

    async def handle(self, number: Callable[[], object]) -> None:
        """Do what a task asks for: nothing at all, or wait.

        Args:
            number: Reads the task's number; not called when handlers are only counted.
        """
        if self._counts:
            self.count()
        else:
            self.say(str(number()))
        if self._seconds:
            await asyncio.sleep(self._seconds)

    def count(self) -> None:
        """Note that a handler has begun."""
        self._count += 1
        if self._count == 1:
            self.say("first")
        if self._count == self._total:
            self.say("last")

    def say(self, word: str) -> None:
        """Append a word with the time."""
        os.write(self._file, f"{word} {time.monotonic_ns()}\n".encode())
