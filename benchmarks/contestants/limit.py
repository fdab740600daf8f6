"""How fast the database alone does what our worker asks of it: the bound that no worker of ours can pass.

The same functions `claim` and `finish`, the same batches and the same commits (claims without waiting for the disk,
outcomes with), but called in a loop inside the server: no round trips, no Python, no task objects. Two sessions at
once, as a worker has two connections for its work.
"""

from __future__ import annotations

import os
import sys
from threading import Barrier, Thread
from typing import LiteralString

import psycopg

from benchmarks import tally
from benchmarks.contestants.contestant import Command, Load
from benchmarks.contestants.ours import Ours
from benchmarks.tally import Tally

SESSIONS = 2

# Everything that names a parameter of the two functions stands here.
LOOP: LiteralString = """
    CREATE PROCEDURE pg_temp.drain(p_kind text, p_limit integer) LANGUAGE plpgsql AS $$
    DECLARE
      worker uuid := gen_random_uuid();
      ids uuid[];
      attempts integer[];
      nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    BEGIN
      LOOP
        SELECT array_agg(c.id ORDER BY c.id), array_agg(c.attempt ORDER BY c.id) INTO ids, attempts
        FROM agent_worker.claim(
          worker, array[p_kind], array[0], array[''], array[nobody], array[0::bigint],
          array['~'], array[nobody], array[0::bigint], array[p_limit], p_limit) AS c;
        EXIT WHEN ids IS NULL;
        COMMIT;
        PERFORM agent_worker.finish(
          worker, ids, attempts, array_fill('completed'::text, array[cardinality(ids)]),
          array_fill('{}'::jsonb, array[cardinality(ids)])
        );
        COMMIT;
      END LOOP;
    END $$
"""


class Limit(Ours):
    """Our SQL without our worker.

    Args:
        batch: Tasks per call, as many as the worker that it is compared with has slots.
    """

    is_queue = False
    lease_s = None

    def __init__(self, name: str, batch: int) -> None:
        super().__init__(name)
        self._batch = batch

    def settings(self) -> str:
        """Batches as large as the slots of the worker that this bounds."""
        return f"batches of {self._batch}, {SESSIONS} sessions"

    def command(self, url: str, load: Load) -> Command:
        """A process that waits while the server works."""
        env = {"DATABASE_URL": url, tally.CONCURRENCY: str(self._batch)}
        assert load.handler == "noop"
        return Command([sys.executable, "-m", "benchmarks.work", "limit"], env)


def work() -> None:
    """Drain the queue from all sessions at once, then wait to be killed."""
    counts = Tally()
    started = Barrier(SESSIONS + 1)
    threads = [Thread(target=_drain, args=(started,)) for _ in range(SESSIONS)]
    for thread in threads:
        thread.start()
    counts.say("first")
    started.wait()
    for thread in threads:
        thread.join()
    counts.say("last")


def _drain(started: Barrier) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as conn:
        conn.execute(LOOP)
        started.wait()
        conn.execute("CALL pg_temp.drain(%s, %s)", ["noop", int(os.environ[tally.CONCURRENCY])])
