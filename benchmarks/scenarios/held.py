"""What is left of the speed while a report, a dump or a forgotten session holds an old snapshot?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import psycopg

from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.measure import drain
from benchmarks.scenarios.scenario import Bench, Figure, Run

BEFORE = (60_000, 300_000)
BEFORE_LIMIT_S = (20.0, 90.0)
TASKS = (10_000, 30_000)
LIMIT_S = (10.0, 20.0)


class HeldScenario:
    """Another session holds a snapshot and a transaction id; after N tasks, how fast are the next ones?"""

    name = "held_snapshot"
    title = "Held snapshot: tasks per second after many tasks while another session keeps a transaction open"
    figures: Sequence[Figure] = (
        Figure("ratio", "held / fresh", digits=2),
        Figure("held_per_s", "held, tasks/s"),
        Figure("fresh_per_s", "fresh, tasks/s"),
        Figure("before_per_s", "on the way, tasks/s"),
        Figure("before", "tasks before"),
    )
    contestants: Sequence[str] = ("ours", "pgqueuer", "graphile-worker", "awa", "procrastinate")
    rounds = (2, 3)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Drain a fresh database; then, on another, drain many tasks under a snapshot and as many again as before."""
        full = not bench.is_quick
        load = Load(handler="noop", total=TASKS[full])
        with bench.server.database(contestant) as database:
            fresh = drain(
                bench.server, contestant, database, load, scratch=bench.scratch, limit_s=LIMIT_S[full]
            )
        with (
            bench.server.database(contestant) as database,
            held_snapshot(bench.server.database_url(database)),
        ):
            before = drain(
                bench.server,
                contestant,
                database,
                Load(handler="noop", total=BEFORE[full]),
                scratch=bench.scratch,
                limit_s=BEFORE_LIMIT_S[full],
                vacuum=False,
            )
            held = drain(
                bench.server,
                contestant,
                database,
                load,
                scratch=bench.scratch,
                limit_s=LIMIT_S[full],
                vacuum=False,
            )
        return Run(
            {
                "ratio": held.per_s / fresh.per_s,
                "held_per_s": held.per_s,
                "fresh_per_s": fresh.per_s,
                "before_per_s": before.per_s,
                "before": before.tasks,
            },
            ()
            if before.is_whole
            else (f"finished fewer than {BEFORE[full]:,} in {BEFORE_LIMIT_S[full]:.0f} s",),
        )

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


@contextlib.contextmanager
def held_snapshot(url: str) -> Iterator[None]:
    """Keep one transaction open that has a snapshot and an id of its own, so that nothing newer can be vacuumed."""
    with psycopg.connect(url, autocommit=True, application_name="holder") as conn:
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        conn.execute("SELECT pg_current_xact_id()")
        yield
        conn.execute("ROLLBACK")
