"""Tell the log now and then that this worker lives and watches."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from agent_worker.worker.loop import Loop

logger = structlog.get_logger(__name__)


class LifeSign(Loop[int]):
    """Logs `worker.heartbeat`. The beats that count for the lease come from `Heartbeat`.

    Args:
        name: Of the worker.
        in_flight: How many attempts run.
        interval_s: Seconds between lines; there is none at the start, which has a line of its own.
    """

    def __init__(self, name: str, *, in_flight: Callable[[], int], interval_s: float = 30.0) -> None:
        super().__init__(interval_s=interval_s)
        self._name = name
        self._in_flight = in_flight
        self._rounds = 0

    async def run_once(self) -> int:
        """Log a line, except in the first round; returns how many attempts run."""
        in_flight = self._in_flight()
        if self._rounds:
            logger.info(
                "worker.heartbeat", name=self._name, watching="agent_task_requests", in_flight=in_flight
            )
        self._rounds += 1
        return in_flight
