"""What does an insert cost, and does it cost more while workers are waiting or busy?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import LiteralString

import psycopg

from benchmarks.children import START_TIMEOUT_S, running
from benchmarks.contestants.contestant import Contestant, Load
from benchmarks.failure import RunFailed
from benchmarks.pgbench import transactions_per_s
from benchmarks.scenarios.scenario import Bench, Figure, Run

SECONDS = (3, 10)
BUSY_SLOTS = 20
SETTLE_S = 1.0
"""Time for a worker to be asleep again, or surely awake."""

# Our table as it is, with every constraint, index and default, but without a trigger and without row-level security.
BARE: LiteralString = """
    CREATE TABLE bare_requests (LIKE agent_task_requests INCLUDING ALL);
    DO $$
    DECLARE
      options text := (SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = 'agent_task_requests'::regclass);
    BEGIN
      IF options <> '' THEN
        EXECUTE 'ALTER TABLE bare_requests SET (' || options || ')';
      END IF;
    END $$
"""


class EnqueueScenario:
    """16 clients insert one row per transaction, with no worker, an idle one, and one whose slots are all taken."""

    name = "enqueue"
    title = "Enqueue: durable single-row inserts per second of 16 concurrent clients"
    figures: Sequence[Figure] = (
        Figure("busy", "busy worker"),
        Figure("idle", "idle worker"),
        Figure("alone", "no worker"),
        Figure("bare", "bare table"),
        Figure("busy_ratio", "busy / bare", digits=2),
        Figure("idle_ratio", "idle / bare", digits=2),
    )
    contestants: Sequence[str] = ("ours-100", "pgqueuer", "graphile-worker", "awa", "procrastinate")
    rounds = (3, 7)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Measure each state on a fresh database."""
        figures: dict[str, float] = {}
        if contestant.name.startswith("ours"):
            figures["bare"] = self._bare(bench, contestant)
        figures["alone"] = self._alone(bench, contestant)
        figures["idle"] = self._beside_worker(bench, contestant, "noop", Load(handler="noop"))
        busy = Load(handler="hang", concurrency=BUSY_SLOTS, seconds=600.0)
        figures["busy"] = self._beside_worker(bench, contestant, "hang", busy)
        if "bare" in figures:
            figures |= {f"{state}_ratio": figures[state] / figures["bare"] for state in ("busy", "idle")}
        return Run(figures)

    def close(self, bench: Bench) -> None:
        """Keep nothing."""

    def _bare(self, bench: Bench, contestant: Contestant) -> float:
        with bench.server.database(contestant) as database:
            with bench.server.connect(database) as conn:
                conn.execute(BARE)
            statement = contestant.insert("noop", ":n::int").replace("agent_task_requests", "bare_requests")
            return self._pgbench(bench, database, statement)

    def _alone(self, bench: Bench, contestant: Contestant) -> float:
        with bench.server.database(contestant) as database:
            return self._pgbench(bench, database, contestant.insert("noop", ":n::int"))

    def _beside_worker(self, bench: Bench, contestant: Contestant, kind: str, load: Load) -> float:
        """An idle worker takes what is inserted as it comes; a busy one has all slots taken before."""
        slots = load.concurrency or 1
        with bench.server.database(contestant) as database:
            url = bench.server.database_url(database)
            with running(contestant, url, load, bench.scratch) as child:
                insert_one_by_one(url, contestant, kind, range(1, slots + 1))
                expected = slots if kind == "hang" else 1
                if len(child.wait_for_count(expected, START_TIMEOUT_S)) < expected:
                    raise RunFailed(f"did not fill its slots · {child.last_words()}")
                time.sleep(SETTLE_S)
                return self._pgbench(bench, database, contestant.insert(kind, ":n::int"))

    @staticmethod
    def _pgbench(bench: Bench, database: str, statement: str) -> float:
        bench.server.checkpoint()
        seconds = SECONDS[not bench.is_quick]
        url = bench.server.database_url(database)
        return transactions_per_s(url, statement, seconds=seconds, scratch=bench.scratch)


def insert_one_by_one(url: str, contestant: Contestant, handler: str, numbers: Iterable[int]) -> None:
    """Insert tasks as clients do, each in its own transaction."""
    with psycopg.connect(url, autocommit=True) as conn:
        for number in numbers:
            conn.execute(contestant.insert(handler, str(number)).encode())
