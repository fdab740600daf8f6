"""How many waiting tasks does one process carry, and what does it weigh?"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.measure import drain
from benchmarks.scenarios.drain import notes
from benchmarks.scenarios.scenario import Bench, Figure, Run

AT_ONCE = 2000
WAVES = (3, 10)
NAP_S = 1.0
LIMIT_S = (20.0, 40.0)


class ConcurrentScenario:
    """2,000 tasks at once that wait one second each, as for a model; the bound is 2,000 tasks/s."""

    name = "concurrent"
    title = "Concurrent: 2,000 one-second tasks at once in one process"
    figures: Sequence[Figure] = (
        Figure("per_s", "tasks/s"),
        Figure("peak_mib", "peak MiB", is_better_high=False),
    )
    contestants: Sequence[str] = ("ours", "pgqueuer", "graphile-worker", "awa", "procrastinate")
    rounds = (2, 5)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Drain tasks that wait."""
        limit_s = LIMIT_S[not bench.is_quick]
        load = Load(
            handler="nap", concurrency=AT_ONCE, seconds=NAP_S, total=AT_ONCE * WAVES[not bench.is_quick]
        )
        with bench.server.database(contestant) as database:
            result = drain(bench.server, contestant, database, load, scratch=bench.scratch, limit_s=limit_s)
        return Run({"per_s": result.per_s, "peak_mib": result.peak_mib}, notes(result, limit_s))

    def close(self, bench: Bench) -> None:
        """Keep nothing."""
