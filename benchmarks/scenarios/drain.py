"""How fast does one worker process empty a queue?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.measure import Drain, drain
from benchmarks.scenarios.scenario import Bench, Figure, Run

TASKS = (20_000, 100_000)
LIMIT_S = (10.0, 30.0)


class DrainScenario:
    """N no-op tasks lie there beforehand; one process; until SQL counts all of them as finished."""

    name = "drain"
    title = "Drain: no-op tasks per second of one worker process"
    figures: Sequence[Figure] = (
        Figure("per_s", "tasks/s"),
        Figure("peak_mib", "peak MiB", is_better_high=False),
        Figure("cpu_us", "worker CPU µs/task", is_better_high=False),
    )
    contestants: Sequence[str] = (
        "ours",
        "ours-100",
        "sql",
        "sql-100",
        "pgqueuer",
        "graphile-worker",
        "awa",
        "procrastinate",
    )
    rounds = (3, 7)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Drain a fresh database once."""
        tasks, limit_s = TASKS[not bench.is_quick], LIMIT_S[not bench.is_quick]
        with bench.server.database(contestant) as database:
            result = drain(
                bench.server,
                contestant,
                database,
                Load(handler="noop", total=tasks),
                scratch=bench.scratch,
                limit_s=limit_s,
            )
        return Run(
            {
                "per_s": result.per_s,
                "peak_mib": result.peak_mib,
                "cpu_us": result.cpu_s / max(result.tasks, 1) * 1e6,
            },
            notes(result, limit_s),
        )

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


def notes(result: Drain, limit_s: float) -> tuple[str, ...]:
    """Say so when the time was up before the queue was empty."""
    return () if result.is_whole else (f"stopped after {limit_s:.0f} s",)
