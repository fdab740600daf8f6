"""How soon does a task begin when the fleet is idle?"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from statistics import median, quantiles

import psycopg

from benchmarks.children import START_TIMEOUT_S, Child, running
from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.scenarios.scenario import Bench, Figure, Run

TASKS = (100, 300)
WARM_UP = 20
"""Tasks before those that count: caches, plans and prepared statements."""
PAUSE_MS = (20, 60)
GIVE_UP_S = 10.0


class LatencyScenario:
    """Single inserts, 20–60 ms apart at random, into an idle worker that is told of them by LISTEN."""

    name = "latency"
    title = "Latency: milliseconds until the handler begins, single inserts, one idle worker"
    figures: Sequence[Figure] = (
        Figure("wake_p50_ms", "from the commit, p50", digits=2, is_better_high=False),
        Figure("wake_p99_ms", "from the commit, p99", digits=2, is_better_high=False),
        Figure("insert_p50_ms", "from sending the insert, p50", digits=2, is_better_high=False),
        Figure("insert_p99_ms", "from sending the insert, p99", digits=2, is_better_high=False),
    )
    contestants: Sequence[str] = ("ours-100", "pgqueuer", "graphile-worker", "awa", "procrastinate")
    rounds = (3, 7)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Insert and wait, one task after the other."""
        tasks = TASKS[not bench.is_quick] + WARM_UP
        with bench.server.database(contestant) as database:
            url = bench.server.database_url(database)
            bench.server.checkpoint()
            load = Load(handler="stamp")
            with (
                running(contestant, url, load, bench.scratch) as child,
                psycopg.connect(url, autocommit=True) as conn,
            ):
                _wait_until_idle(conn, contestant, child)
                sent, committed = {}, {}
                for number in range(1, tasks + 1):
                    time.sleep((PAUSE_MS[0] + secrets.randbelow(PAUSE_MS[1] - PAUSE_MS[0])) / 1000)
                    statement = contestant.insert("stamp", str(number)).encode()
                    sent[number] = time.monotonic_ns()
                    conn.execute(statement)
                    committed[number] = time.monotonic_ns()
                began = child.wait_for_count(tasks + 1, GIVE_UP_S)
        counted = [number for number in range(WARM_UP + 1, tasks + 1) if str(number) in began]
        lost = tasks - WARM_UP - len(counted)
        wake_ms = [(began[str(number)] - committed[number]) / 1e6 for number in counted]
        insert_ms = [(began[str(number)] - sent[number]) / 1e6 for number in counted]
        return Run(
            {
                "wake_p50_ms": median(wake_ms),
                "wake_p99_ms": quantiles(wake_ms, n=100)[98],
                "insert_p50_ms": median(insert_ms),
                "insert_p99_ms": quantiles(insert_ms, n=100)[98],
            },
            (f"{lost} of {tasks - WARM_UP} had not begun after {GIVE_UP_S:.0f} s",) if lost else (),
        )

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


def _wait_until_idle(
    conn: psycopg.Connection[tuple[object, ...]], contestant: Contestant, child: Child
) -> None:
    """Let the worker start, do one task, and fall asleep."""
    conn.execute(contestant.insert("stamp", "0").encode())
    if child.wait_for("0", START_TIMEOUT_S) is None:
        raise RunFailed(f"began no task in {START_TIMEOUT_S:.0f} s · {child.last_words()}")
    time.sleep(1.0)
