"""Take tasks when there are free slots: at a ring, when a slot frees and more is waiting, and every few seconds anyway.

A claim takes half of the slots at most, so that while these tasks run the next are on their way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from agent_worker.db.queue import Batch, Claimed, Queue
from agent_worker.domain.lanes import LaneBook
from agent_worker.domain.task import Task
from agent_worker.worker.loop import Loop
from agent_worker.worker.watch import Lookout

logger = structlog.get_logger(__name__)

REFILL_DELAY_S = 0.002
"""A busy worker's slots free one by one; a claim for each would cost more than the tasks."""

SHORTEST_WAIT_S = 0.001
"""Least time until the next look while a rate holds tasks back."""

SWEEP_INTERVAL_S = 3.0
"""Seconds between looks below the watermarks, for tasks that were committed late."""

SWEEP_SHARE = 20
"""A sweep waits for at least so many times as long as the last one took, so that sweeps take 5 % of the time at most."""

STOCKTAKING_INTERVAL_S = 30.0
"""Seconds between comparisons of what the database says this worker holds with what it knows."""

PRIORITIES = range(9, -1, -1)


class Claimer(Loop[int]):
    """Claims as many tasks as there are free slots and hands them on.

    Args:
        queue: Where tasks live.
        watch: Who looks out for new tasks.
        kinds: Kinds this worker offers.
        slots: Most attempts at once.
        free_slots: How many attempts may start now.
        dispatch: Starts an attempt; returns at once.
        is_known: Whether this worker runs or has yet to record a task.
        turn: Held while claiming. Claimers of one worker share it: what one is about to hand on must not look like a
            stranger to the other, and they leave a connection to those who write.
        interval_s: Seconds between looks when nobody rings.
        stocktaking_s: Seconds between comparisons of what the database says this worker holds with what it knows.
    """

    stop_grace_s = 3.0
    """A claim broken off may have taken tasks that nobody here would know of."""

    def __init__(
        self,
        queue: Queue,
        watch: Lookout,
        *,
        kinds: Sequence[str],
        slots: int,
        free_slots: Callable[[], int],
        dispatch: Callable[[Task], None],
        is_known: Callable[[UUID], bool],
        turn: asyncio.Lock,
        interval_s: float,
        stocktaking_s: float = STOCKTAKING_INTERVAL_S,
    ) -> None:
        super().__init__(interval_s=interval_s)
        self._queue = queue
        self.watch = watch
        self._batch = -(-slots // 2)
        self._pause_s = interval_s
        self._is_offered_watch = False
        self._book = LaneBook(kinds, PRIORITIES)
        self._next_sweep = 0.0
        self._free_slots = free_slots
        self._dispatch = dispatch
        self._is_known = is_known
        self._turn = turn
        self._stocktaking_s = stocktaking_s
        self._next_stocktaking = time.monotonic() + stocktaking_s
        self._more_waits = False
        self._refill: asyncio.TimerHandle | None = None

    async def run_once(self) -> int:
        """Claim once; returns how many tasks were taken."""
        if time.monotonic() >= self._next_stocktaking:
            async with self._turn:
                await self._give_back_strangers()
        if self._is_offered_watch:
            self._is_offered_watch = False
            if not await self.watch.take() and not self._more_waits:
                return 0
        limit = min(self._free_slots(), self._batch)
        if limit <= 0:
            self._more_waits = True
            self.watch.leave()
            # Not what the last look said: without a wait, rounds would starve the event loop.
            self._pause_s = self.interval_s
            return 0
        now = time.monotonic()
        is_sweep = now >= self._next_sweep
        spans = self._book.spans(limit, sweep=is_sweep)
        async with self._turn:
            # Due at once if no answer comes: tasks may then be ours without our knowing.
            due, self._next_stocktaking = self._next_stocktaking, 0.0
            tasks = await self._queue.claim(spans, limit)
            self._next_stocktaking = due
            for task in tasks:
                self._dispatch(task)
        self._learn(tasks, now, is_sweep=is_sweep)
        if not tasks:
            self._pause_s = await self.watch.rest()
            if tasks.wait_s is not None:
                self._pause_s = min(self._pause_s, max(tasks.wait_s, SHORTEST_WAIT_S))
        elif len(tasks) >= limit or self._free_slots() <= 0:
            self.watch.leave()
        else:
            self.watch.found()
            await asyncio.sleep(0)  # these tasks begin before the next look is made ready
        return len(tasks)

    def _learn(self, tasks: Claimed, started: float, *, is_sweep: bool) -> None:
        now = time.monotonic()
        self._book.learn(((task.kind, task.priority, task.lane, task.seq) for task in tasks), now)
        self._more_waits = bool(tasks) or tasks.is_held_back
        if is_sweep:
            self._next_sweep = now + max(SWEEP_INTERVAL_S, (now - started) * SWEEP_SHARE)
            self._book.forget_idle(now)
        elif not tasks:
            self._next_sweep = now  # nothing above the watermarks, so the next look begins at zero

    def delay_after(self, result: int) -> float:
        """Look again at once while the queue gives and there is room."""
        if not result:
            return self._pause_s
        return 0.0 if self._free_slots() > 0 else self.interval_s

    def hear_task(self, kind: str) -> None:
        """Look again if new tasks of this kind are for this worker to look after."""
        if self.watch.rung(kind):
            self.wake()

    def hear_offer(self, by: str) -> None:
        """Take over from a worker that has no slot left or more work than it takes, unless another is faster."""
        if self.watch.is_offered(by) and self._free_slots() > 0:
            self._is_offered_watch = True
            self.wake()

    def look(self) -> None:
        """Look again: the listener is connected anew, and what was said meanwhile is lost."""
        self.watch.begin()
        self.wake()

    def slot_freed(self) -> None:
        """Look again if the last look left tasks waiting: a moment later, so that slots freed together are filled together."""
        if self._more_waits and self._refill is None:
            self._refill = asyncio.get_running_loop().call_later(REFILL_DELAY_S, self._look_again)

    def room_made(self) -> None:
        """Look again: a task that limits count has ended, and others may wait for that."""
        self._more_waits = True
        self.slot_freed()

    async def stop(self) -> None:
        """End, and forget the look that was planned."""
        if self._refill is not None:
            self._refill.cancel()
        await super().stop()
        self.watch.leave()

    async def _give_back_strangers(self) -> None:
        """Release what the database says we hold and nobody here knows of: an answer was lost, or an outcome."""
        strangers = [lease for lease in await self._queue.held() if not self._is_known(lease.task_id)]
        if strangers:
            lost = await self._queue.write(Batch(releases=[(lease, 0.0) for lease in strangers]))
            if given_back := len(strangers) - len(lost):  # others have ended meanwhile
                logger.info("claim.given_back", tasks=given_back)
        self._next_stocktaking = time.monotonic() + self._stocktaking_s

    def _look_again(self) -> None:
        self._refill = None
        self.wake()
