"""How soon does a subscriber hear of a commit, alone and among a thousand?"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from statistics import median, quantiles
from uuid import uuid4

import psycopg

from agent_worker.domain.caller import AUTHENTICATED, Caller
from agent_worker.gateway.realtime.binding import Binding
from agent_worker.gateway.realtime.changes import Changes
from benchmarks.contestants.contestant import Connection, Contestant
from benchmarks.scenarios.scenario import Bench, Figure, Run

SUBSCRIBERS = 1_000
COMMITS = (100, 500)
TO_ALL = (20, 100)
WARM_UP = 10
PAUSE_MS = (5, 20)
GIVE_UP_S = 10.0

TABLE = """
    CREATE TABLE public.watched (id integer PRIMARY KEY, owner uuid, body text);
    ALTER TABLE public.watched ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON public.watched TO authenticated;
    CREATE POLICY everybody ON public.watched FOR SELECT TO authenticated USING ((SELECT auth.uid()) IS NOT NULL);
    ALTER PUBLICATION supabase_realtime ADD TABLE public.watched;
    INSERT INTO public.watched SELECT n, gen_random_uuid() FROM generate_series(0, 999) n;
"""
UPDATE = "UPDATE public.watched SET body = %s WHERE id = %s"


class _Subscriber:
    """Somebody signed in, with claims of its own; counts for all of them when it is told."""

    def __init__(self, told: _Told) -> None:
        self.caller = Caller(AUTHENTICATED, {"sub": str(uuid4()), "role": AUTHENTICATED})
        self._told = told

    def deliver(self, ids: Sequence[int], data_json: str) -> None:  # noqa: ARG002 - what comes is tested elsewhere
        self._told.add()


class _Told:
    """When the last of those who wait was told."""

    def __init__(self) -> None:
        self._missing = 0
        self._done = asyncio.Event()
        self.at_ns = 0

    def expect(self, count: int) -> None:
        self._missing = count
        self._done.clear()

    def add(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self.at_ns = time.monotonic_ns()
            self._done.set()

    async def wait(self) -> int:
        async with asyncio.timeout(GIVE_UP_S):
            await self._done.wait()
        return self.at_ns


class RealtimeScenario:
    """Single updates of a table with row level security, until the payload lies in the subscribers' queues."""

    name = "realtime"
    title = "Realtime: milliseconds from the commit until subscribers are told, with row level security"
    figures: Sequence[Figure] = (
        Figure("one_p50_ms", "one subscriber, p50", digits=2, is_better_high=False),
        Figure("one_p99_ms", "one subscriber, p99", digits=2, is_better_high=False),
        Figure("own_p50_ms", "1,000, each its own row, p50", digits=2, is_better_high=False),
        Figure("own_p99_ms", "1,000, each its own row, p99", digits=2, is_better_high=False),
        Figure("all_p50_ms", "the last of 1,000, p50", digits=1, is_better_high=False),
        Figure("all_p99_ms", "the last of 1,000, p99", digits=1, is_better_high=False),
    )
    contestants: Sequence[str] = ("ours-100",)
    rounds = (3, 5)

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Commit in a thread, and listen in an event loop, as a gateway does."""
        with bench.server.database(contestant) as database:
            url = bench.server.database_url(database)
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute(TABLE)
                bench.server.checkpoint()
                figures = asyncio.run(_measure(url, conn, is_quick=bench.is_quick))
                wait_for_slots(conn, database)
        return Run(figures)

    def close(self, bench: Bench) -> None:
        """Keep nothing."""


async def _measure(url: str, conn: Connection, *, is_quick: bool) -> dict[str, float]:
    changes = Changes(url)
    await changes.start()
    try:
        one = await _rounds(changes, conn, COMMITS[not is_quick], [f"id=eq.{number}" for number in range(1)])
        own = await _rounds(
            changes, conn, COMMITS[not is_quick], [f"id=eq.{number}" for number in range(SUBSCRIBERS)]
        )
        everybody = await _rounds(changes, conn, TO_ALL[not is_quick], [None] * SUBSCRIBERS)
    finally:
        await changes.stop()
    return {**spread("one", one), **spread("own", own), **spread("all", everybody)}


async def _rounds(
    changes: Changes, conn: Connection, count: int, filters: Sequence[str | None]
) -> list[float]:
    """Update a row that somebody follows, again and again; return the milliseconds until the last was told."""
    told = _Told()
    subscribers = [_Subscriber(told) for _ in filters]
    for subscriber, written in zip(subscribers, filters, strict=True):
        await changes.add(subscriber, [Binding(1, "UPDATE", "public", "watched", written, None)])
    taken_ms = []
    for number in range(count + WARM_UP):
        await asyncio.sleep((PAUSE_MS[0] + secrets.randbelow(PAUSE_MS[1] - PAUSE_MS[0])) / 1000)
        told.expect(len(filters) if filters[0] is None else 1)
        committed_ns = await asyncio.to_thread(_commit, conn, number, secrets.randbelow(len(filters)))
        taken_ms.append((await told.wait() - committed_ns) / 1e6)
    for subscriber in subscribers:
        changes.remove(subscriber)
    return taken_ms[WARM_UP:]


def _commit(conn: Connection, number: int, row: int) -> int:
    conn.execute(UPDATE, [f"body {number}", row])
    return time.monotonic_ns()


def spread(name: str, taken_ms: Sequence[float]) -> dict[str, float]:
    """Return the figures `NAME_p50_ms` and `NAME_p99_ms`."""
    return {f"{name}_p50_ms": median(taken_ms), f"{name}_p99_ms": quantiles(taken_ms, n=100)[98]}


def wait_for_slots(conn: Connection, database: str) -> None:
    """Wait until the feed's slot is gone, with which the database could not be dropped."""
    while conn.execute("SELECT 1 FROM pg_replication_slots WHERE database = %s", [database]).fetchone():
        time.sleep(0.01)
