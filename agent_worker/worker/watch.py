"""Look out for new tasks, so that inserts ring only while somebody sleeps.

A NOTIFY makes commits wait for each other: with one per insert, 16 inserters reach a third of their speed. So for each
kind at most one idle worker of the fleet keeps *watch*, and only before it sleeps does it *arm the bell*, the lock that
tells inserts to ring (see ring() in the migrations). Rung twice in a moment it disarms the bell again and looks every
few milliseconds instead, until there is nothing more. Whoever keeps no watch sleeps in peace: when the watch has no
slot left, it leaves, and says so, and another takes over.

Watch and bell are locks of the listening session: they go with it, however it ends. Should a watch die without a word,
others notice at their next look, for everybody looks every `interval_s` anyway.

Without a session of our own (a pooler in transaction mode, a database that is away) there is no watch: the worker polls,
more often while there is work.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import LiteralString

from agent_worker.db.arrays import TextArray
from agent_worker.db.listen import Listener
from agent_worker.db.queries import sql

HURRY_S = 0.01
"""Rung again within this time, the watch stays awake."""

LINGER_S = (0.001, 0.002, 0.004)
"""Waits between looks that find nothing before the bell is armed."""

LONGEST_LINGER_S = 0.032
"""While inserts keep the bell from being armed."""

TAKE_OVER_S = 10.0
"""Seconds between attempts to take a watch that another keeps, in case it died without a word."""

POLL_S = (0.02, 1.0)
"""Shortest and longest wait between looks that find nothing, without notifications."""


class Watch:
    """One worker's part in looking out.

    Args:
        listener: Its session holds the locks; hears `task KIND` and `watch`.
        kinds: Kinds the worker offers.
        interval_s: Longest wait between looks.
    """

    def __init__(self, listener: Listener, kinds: Sequence[str], *, interval_s: float) -> None:
        self._listener = listener
        self._kinds = frozenset(kinds)
        self._interval_s = interval_s
        self._kept: set[str] = set()
        self._armed: set[str] = set()
        self._quiet_looks = 0
        self._next_try = 0.0
        self._last_ring = 0.0
        self._chores: set[asyncio.Task[object]] = set()

    @property
    def kinds(self) -> Collection[str]:
        """Kinds this worker keeps watch for."""
        return frozenset(self._kept)

    @property
    def is_armed(self) -> bool:
        """Whether inserts of every watched kind ring."""
        return bool(self._kept) and self._armed >= self._kept

    def begin(self) -> None:
        """A new session listens; what the one before held is gone."""
        self._kept.clear()
        self._armed.clear()
        self._quiet_looks = 0
        self._next_try = 0.0

    def rung(self, kind: str) -> bool:
        """Hear that a task of this kind has come; returns whether that is ours to look after."""
        if kind not in self._kept:
            return False
        now = time.monotonic()
        if now - self._last_ring < HURRY_S and self._armed:
            self._run(sql("disarm_bell"), self._armed)
            self._armed.clear()
            self._quiet_looks = 0
        self._last_ring = now
        return True

    async def take(self) -> bool:
        """Take the watch for the kinds that nobody watches; returns whether there were any."""
        wanted = self._kinds - self._kept
        self._next_try = time.monotonic() + TAKE_OVER_S
        rows = await self._listener.ask(sql("keep_watch"), {"kinds": TextArray(wanted)}) if wanted else []
        self._kept.update(row[0] for row in rows or ())
        return bool(rows)

    def leave(self) -> None:
        """Have another worker take over: this one has no free slot, or stops."""
        self._next_try = 0.0
        if self._kept:
            self._kept.clear()
            self._armed.clear()
            self._run(sql("leave_watch"), self._kinds)

    def found(self) -> None:
        """Say that a look found tasks, so that there may be more."""
        self._quiet_looks = 0

    async def rest(self) -> float:
        """Return how long to wait after a look that found nothing, having arranged to be woken."""
        self._quiet_looks += 1
        if not self._listener.connected:
            shortest, longest = POLL_S
            return min(shortest * 2.0 ** min(self._quiet_looks - 1, 10), longest, self._interval_s)
        if time.monotonic() >= self._next_try:
            await self.take()
        if not self._kept or self.is_armed:
            return self._interval_s
        if self._quiet_looks <= len(LINGER_S):
            return LINGER_S[self._quiet_looks - 1]
        if await self._arm():
            return 0.0  # the last look was before; one more, and then sleep
        return float(min(LINGER_S[0] * 2.0 ** min(self._quiet_looks, 10), LONGEST_LINGER_S))

    async def _arm(self) -> bool:
        rows = await self._listener.ask(sql("arm_bell"), {"kinds": TextArray(self._kept - self._armed)})
        self._armed.update(row[0] for row in rows or () if row[0] in self._kept)
        return self.is_armed

    def _run(self, query: LiteralString, kinds: Collection[str]) -> None:
        chore = asyncio.ensure_future(self._listener.ask(query, {"kinds": TextArray(kinds)}))
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
