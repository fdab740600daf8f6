"""How long do the tasks of a killed worker wait for another one?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from benchmarks.children import START_TIMEOUT_S, running
from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.scenarios.enqueue import insert_one_by_one
from benchmarks.scenarios.scenario import Bench, Figure, Run

TASKS = 10
QUICK_LEASE_S = 6.0
SETTLE_S = 1.0
LONGEST_S = 150.0
"""Nobody waits longer: who documents a longer time takes no part, and says so in the notes."""


class RescueScenario:
    """kill -9 of a worker that holds ten tasks, beside another one with free slots."""

    name = "rescue"
    title = "Rescue: seconds from kill -9 until all tasks of the worker run elsewhere"
    figures: Sequence[Figure] = (
        Figure("rescued_s", "seconds", digits=1, is_better_high=False),
        Figure("lease_s", "of these, the lease", digits=0, is_better_high=False),
    )
    contestants: Sequence[str] = ("ours-100", "pgqueuer", "graphile-worker", "awa", "procrastinate")
    rounds = (1, 3)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Kill one of two workers."""
        if contestant.lease_s is None:
            return Run({}, ("never by itself",))
        if contestant.lease_s > LONGEST_S:
            return Run({}, (f"documented: after {contestant.lease_s / 3600:.0f} hours",))
        lease_s = QUICK_LEASE_S if bench.is_quick else None
        full = Load(handler="hang", concurrency=TASKS, seconds=600.0, lease_s=lease_s)
        with bench.server.database(contestant) as database:
            url = bench.server.database_url(database)
            with running(contestant, url, full, bench.scratch) as victim:
                insert_one_by_one(url, contestant, "hang", range(1, TASKS + 1))
                if len(victim.wait_for_count(TASKS, START_TIMEOUT_S)) < TASKS:
                    raise RunFailed(f"did not begin its tasks · {victim.last_words()}")
                with running(contestant, url, replace(full, concurrency=2 * TASKS), bench.scratch) as other:
                    insert_one_by_one(url, contestant, "hang", [0])  # the victim has no slot for it
                    if other.wait_for("0", START_TIMEOUT_S) is None:
                        raise RunFailed(f"began no task in {START_TIMEOUT_S:.0f} s · {other.last_words()}")
                    time.sleep(SETTLE_S)
                    killed_ns = time.monotonic_ns()
                    victim.kill()
                    began = other.wait_for_count(TASKS + 1, LONGEST_S)
        shown_lease_s = lease_s or contestant.lease_s
        if len(began) < TASKS + 1:
            return Run({"lease_s": shown_lease_s}, (f"not all within {LONGEST_S:.0f} s",))
        return Run({"rescued_s": (max(began.values()) - killed_ns) / 1e9, "lease_s": shown_lease_s})

    def close(self, bench: Bench) -> None:
        """Keep nothing."""
