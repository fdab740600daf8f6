"""What does a worker cost that has nothing to do?"""

from __future__ import annotations

import time
from collections.abc import Sequence

import psycopg

from benchmarks.children import START_TIMEOUT_S, running
from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.scenarios.scenario import Bench, Figure, Run

SECONDS = (15.0, 60.0)
SETTLE_S = 12.0
"""A session reports its counters at the latest 10 s after its last transaction."""


class IdleScenario:
    """One worker that has done one task and waits for the next."""

    name = "idle"
    title = "Idle: what a waiting worker costs"
    figures: Sequence[Figure] = (
        Figure("resident_mib", "resident MiB", is_better_high=False),
        Figure("per_s", "transactions/s", digits=2, is_better_high=False),
        Figure("cpu_ms", "worker CPU ms/s", digits=1, is_better_high=False),
        Figure("sessions", "sessions", is_better_high=False),
    )
    contestants: Sequence[str] = ("ours-100", "pgqueuer", "graphile-worker", "awa", "procrastinate")
    rounds = (1, 3)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Watch from another database, so that watching is not counted."""
        seconds = SECONDS[not bench.is_quick]
        with bench.server.database(contestant) as database, bench.server.connect() as observer:
            url = bench.server.database_url(database)
            with running(contestant, url, Load(handler="stamp"), bench.scratch) as child:
                with psycopg.connect(url, autocommit=True) as conn:
                    conn.execute(contestant.insert("stamp", "0").encode())
                if child.wait_for("0", START_TIMEOUT_S) is None:
                    raise RunFailed(f"began no task in {START_TIMEOUT_S:.0f} s · {child.last_words()}")
                time.sleep(SETTLE_S)
                before, cpu_before, began = _transactions(observer, database), child.cpu_s(), time.monotonic()
                time.sleep(seconds)
                after, cpu_after = _transactions(observer, database), child.cpu_s()
                elapsed_s = time.monotonic() - began
                return Run(
                    {
                        "resident_mib": child.memory_mib("VmRSS"),
                        "per_s": (after - before) / elapsed_s,
                        "cpu_ms": (cpu_after - cpu_before) / elapsed_s * 1000,
                        "sessions": float(_sessions(observer, database)),
                    }
                )

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


def _transactions(observer: psycopg.Connection[tuple[object, ...]], database: str) -> int:
    """Count all transactions of a database so far, those of autovacuum included."""
    row = observer.execute(
        "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", [database]
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


def _sessions(observer: psycopg.Connection[tuple[object, ...]], database: str) -> int:
    row = observer.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'",
        [database],
    ).fetchone()
    assert row is not None
    return int(str(row[0]))
