"""What several scenarios measure: how fast a backlog is drained."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import START_TIMEOUT_S, running
from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.server import Server

_POLL_S = 0.005


@dataclass(frozen=True, slots=True)
class Drain:
    """A backlog that was drained, or as much of it as the time allowed.

    Attributes:
        tasks: Recorded as finished, by SQL.
        elapsed_s: From the beginning of the first handler until all were recorded, or the time was up.
        is_whole: Whether all were finished in time.
        peak_mib: Largest resident size of the worker process.
        cpu_s: Processor time of the worker process in that time.
    """

    tasks: int
    elapsed_s: float
    is_whole: bool
    peak_mib: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Tasks per second."""
        return self.tasks / self.elapsed_s


def drain(
    server: Server,
    contestant: Contestant,
    database: str,
    load: Load,
    *,
    scratch: Path,
    limit_s: float,
    vacuum: bool = True,
) -> Drain:
    """Insert tasks, start one worker process, and time it until SQL counts no unfinished task.

    The handlers' own count only says when to begin to ask, so that asking costs nothing meanwhile.

    Args:
        server: Where.
        contestant: Who.
        database: Its database; may hold more than these tasks.
        load: What to do; `total` is how many tasks are inserted.
        scratch: Folder for the worker's files.
        limit_s: Longest time, from the first handler on.
        vacuum: Whether to vacuum after the insert, as autovacuum would; pointless under a held snapshot.

    Raises:
        RunFailed: The worker ended by itself, or began no task.
    """
    with server.connect(database) as conn:
        already = contestant.unfinished(conn)
        contestant.fill(server.database_url(database), load.handler, load.total)
        conn.execute("VACUUM (ANALYZE)" if vacuum else "ANALYZE")
        conn.execute("CHECKPOINT")
        with running(contestant, server.database_url(database), load, scratch) as child:
            first_ns = child.wait_for("first", START_TIMEOUT_S)
            if first_ns is None:
                raise RunFailed(f"began no task in {START_TIMEOUT_S:.0f} s · {child.last_words()}")
            cpu_before_s = child.cpu_s()
            deadline_ns = first_ns + int(limit_s * 1e9)
            child.wait_for("last", (deadline_ns - time.monotonic_ns()) / 1e9)
            while True:
                asked_ns = time.monotonic_ns()
                unfinished = contestant.unfinished(conn)
                if unfinished == 0 or asked_ns > deadline_ns:
                    break
                time.sleep(_POLL_S)
            return Drain(
                tasks=already + load.total - unfinished,
                elapsed_s=(asked_ns - first_ns) / 1e9,
                is_whole=unfinished == 0,
                peak_mib=child.memory_mib(),
                cpu_s=child.cpu_s() - cpu_before_s,
            )
