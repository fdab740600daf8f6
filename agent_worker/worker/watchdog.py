"""Stop attempts whose time is up."""

from __future__ import annotations

import time

from agent_worker.worker.executor import Executor
from agent_worker.worker.loop import Loop

INTERVAL_S = 0.1
"""One look at all attempts costs less than a timer for each, and limits are whole seconds."""


class Watchdog(Loop[int]):
    """Looks at the clock for all attempts at once.

    Args:
        executor: Whose attempts.
    """

    def __init__(self, executor: Executor) -> None:
        super().__init__(interval_s=INTERVAL_S)
        self._executor = executor

    async def run_once(self) -> int:
        """Look once; returns how many attempts were stopped or left behind."""
        return self._executor.enforce_deadlines(time.monotonic())
