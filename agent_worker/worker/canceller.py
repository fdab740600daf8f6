"""Find cancel requests whose notification was lost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from agent_worker.db.queue import Queue
from agent_worker.worker.loop import Loop


class Canceller(Loop[int]):
    """Looks for held tasks that somebody asked to cancel, while something runs.

    Notifications make it quick; this makes it certain: the request is a column, and columns are not lost.

    Args:
        queue: Where tasks live.
        running: What runs here; an idle worker asks nothing.
        cancel: Stops these tasks.
        interval_s: Seconds between looks.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        running: Callable[[], Collection[UUID]],
        cancel: Callable[[Iterable[UUID]], None],
        interval_s: float,
    ) -> None:
        super().__init__(interval_s=interval_s)
        self._queue = queue
        self._running = running
        self._cancel = cancel

    async def run_once(self) -> int:
        """Look once; returns how many tasks were asked to stop."""
        running = list(self._running())
        if not running:
            return 0
        task_ids = await self._queue.cancel_requests(running)
        self._cancel(task_ids)
        return len(task_ids)
