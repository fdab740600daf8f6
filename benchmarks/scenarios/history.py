"""Does the queue slow down with the number of finished tasks in its tables?"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.measure import drain
from benchmarks.scenarios.scenario import Bench, Figure, Run

ROWS = (200_000, 5_000_000)
TASKS = (20_000, 60_000)
LIMIT_S = (10.0, 20.0)


class HistoryScenario:
    """The same drain with and without finished tasks beside it. Queues that delete what is done take no part."""

    name = "history"
    title = "History: tasks per second with many finished tasks in the tables"
    figures: Sequence[Figure] = (
        Figure("ratio", "full / empty", digits=2),
        Figure("full_per_s", "with history, tasks/s"),
        Figure("empty_per_s", "empty, tasks/s"),
        Figure("rows", "finished rows"),
    )
    contestants: Sequence[str] = ("ours", "pgqueuer", "procrastinate")
    rounds = (3, 5)

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, contextlib.ExitStack]] = {}

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Drain an empty database, then the one with history, which is made once and kept for all rounds."""
        full = not bench.is_quick
        load = Load(handler="noop", total=TASKS[full])
        with bench.server.database(contestant) as database:
            empty = drain(
                bench.server, contestant, database, load, scratch=bench.scratch, limit_s=LIMIT_S[full]
            )
        old = self._old_database(bench, contestant, ROWS[full])
        after = drain(bench.server, contestant, old, load, scratch=bench.scratch, limit_s=LIMIT_S[full])
        return Run(
            {
                "ratio": after.per_s / empty.per_s,
                "full_per_s": after.per_s,
                "empty_per_s": empty.per_s,
                "rows": float(ROWS[full]),
            }
        )

    def close(self, bench: Bench) -> None:  # noqa: ARG002 - the protocol's
        """Drop the databases with history."""
        while self._kept:
            _, (_, stack) = self._kept.popitem()
            stack.close()

    def _old_database(self, bench: Bench, contestant: Contestant, rows: int) -> str:
        if contestant.name not in self._kept:
            stack = contextlib.ExitStack()
            database = stack.enter_context(bench.server.database(contestant, prefix="old"))
            self._kept[contestant.name] = (database, stack)
            with bench.server.connect(database) as conn:
                contestant.add_history(conn, rows)
                conn.execute("VACUUM (ANALYZE)")
        return self._kept[contestant.name][0]
