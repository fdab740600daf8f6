"""Take tasks when there are free slots: at a ring, when a slot frees and more is waiting, and every few seconds anyway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from agent_worker.db.queue import Batch, Queue
from agent_worker.domain.lanes import LaneBook
from agent_worker.domain.task import Task
from agent_worker.worker.loop import Loop

logger = structlog.get_logger(__name__)

REFILL_DELAY_S = 0.002
"""A busy worker's slots free one by one; a claim for each would cost more than the tasks."""

SWEEP_INTERVAL_S = 3.0
"""Seconds between looks below the watermarks, for tasks that were committed late."""

SWEEP_SHARE = 20
"""A sweep waits for at least so many times as long as the last one took, so that sweeps take 5 % of the time at most."""

PRIORITIES = range(9, -1, -1)


class Claimer(Loop[int]):
    """Claims as many tasks as there are free slots and hands them on.

    Args:
        queue: Where tasks live.
        kinds: Kinds this worker offers.
        free_slots: How many attempts may start now.
        dispatch: Starts an attempt; returns at once.
        is_known: Whether this worker runs or has yet to record a task.
        turn: Held while claiming. Claimers of one worker share it: what one is about to hand on must not look like a
            stranger to the other, and they leave a connection to those who write.
        interval_s: Seconds between looks when nobody rings.
    """

    stop_grace_s = 3.0
    """A claim broken off may have taken tasks that nobody here would know of."""

    def __init__(
        self,
        queue: Queue,
        *,
        kinds: Sequence[str],
        free_slots: Callable[[], int],
        dispatch: Callable[[Task], None],
        is_known: Callable[[UUID], bool],
        turn: asyncio.Lock,
        interval_s: float,
    ) -> None:
        super().__init__(interval_s=interval_s)
        self._queue = queue
        self._book = LaneBook(kinds, PRIORITIES)
        self._next_sweep = 0.0
        self._free_slots = free_slots
        self._dispatch = dispatch
        self._is_known = is_known
        self._turn = turn
        self._lost_an_answer = False
        self._more_waits = False
        self._refill: asyncio.TimerHandle | None = None

    async def run_once(self) -> int:
        """Claim once; returns how many tasks were taken."""
        async with self._turn:
            return await self._claim()

    async def _claim(self) -> int:
        if self._lost_an_answer:
            await self._give_back_strangers()
        limit = self._free_slots()
        if limit <= 0:
            self._more_waits = True
            return 0
        now = time.monotonic()
        is_sweep = now >= self._next_sweep
        spans = self._book.spans(limit, sweep=is_sweep)
        self._lost_an_answer = True  # until it has come: the tasks may be ours without our knowing
        tasks = await self._queue.claim(spans, limit)
        self._lost_an_answer = False
        self._learn(tasks, now, is_sweep=is_sweep)
        for task in tasks:
            self._dispatch(task)
        return len(tasks)

    def _learn(self, tasks: list[Task], started: float, *, is_sweep: bool) -> None:
        now = time.monotonic()
        self._book.learn(((task.kind, task.priority, task.tenant, task.seq) for task in tasks), now)
        self._more_waits = bool(tasks)
        if is_sweep:
            self._next_sweep = now + max(SWEEP_INTERVAL_S, (now - started) * SWEEP_SHARE)
            self._book.forget_idle(now)
        elif not tasks:
            self._next_sweep = now  # nothing above the watermarks, so the next look begins at zero

    def delay_after(self, result: int) -> float:
        """Look again at once while the queue gives and there is room."""
        return 0.0 if result and self._more_waits and self._free_slots() > 0 else self.interval_s

    def slot_freed(self) -> None:
        """Look again if the last look left tasks waiting: a moment later, so that slots freed together are filled together."""
        if self._more_waits and self._refill is None:
            self._refill = asyncio.get_running_loop().call_later(REFILL_DELAY_S, self._look_again)

    async def stop(self) -> None:
        """End, and forget the look that was planned."""
        if self._refill is not None:
            self._refill.cancel()
        await super().stop()

    async def _give_back_strangers(self) -> None:
        strangers = [lease for lease in await self._queue.held() if not self._is_known(lease.task_id)]
        if strangers:
            await self._queue.write(Batch(releases=strangers))
            logger.info("claim.given_back", tasks=len(strangers))
        self._lost_an_answer = False

    def _look_again(self) -> None:
        self._refill = None
        self.wake()
