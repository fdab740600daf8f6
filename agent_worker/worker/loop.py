"""The one shape of everything that runs in the background."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import random
from typing import Generic, TypeVar

import structlog

from agent_worker.domain.backoff import Backoff
from agent_worker.domain.errors import DatabaseUnavailable

logger = structlog.get_logger(__name__)

Result = TypeVar("Result")

_BACKOFF = Backoff(base_s=0.5, max_s=5.0)
_SHORTEST_S = 0.1


class Signal(Generic[Result]):
    """Tells tests that something happened, so that no test sleeps. Sending costs nothing when nobody waits."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[Result]] = []

    def send(self, value: Result) -> None:
        """Wake everybody who waits."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(value)

    async def wait(self, timeout_s: float = 30.0) -> Result:
        """Return the next value that is sent.

        Raises:
            TimeoutError: None came within `timeout_s` seconds.
        """
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        async with asyncio.timeout(timeout_s):
            return await waiter


class Loop(abc.ABC, Generic[Result]):
    """Something done again and again: `start`, `stop`, and `run_once`, which tests call by themselves.

    A round that fails is logged and repeated: with backoff while the database is away, at the usual time otherwise.
    No failure ends the loop.

    Args:
        interval_s: Seconds between rounds; each wait is up to a tenth shorter, so that a fleet does not beat in step.
    """

    stop_grace_s = 0.0
    """How long `stop` waits for the round under way before it breaks it off."""

    def __init__(self, *, interval_s: float) -> None:
        self.interval_s = interval_s
        self._is_stopping = False
        self.round_done: Signal[Result] = Signal()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abc.abstractmethod
    async def run_once(self) -> Result:
        """Do one round, which awaits something that takes time: a round without a wait would starve the event loop."""

    def delay_after(self, result: Result) -> float:  # noqa: ARG002 - for loops whose pace follows from the round
        """Return the seconds to wait after a round; 0 repeats at once."""
        return self.interval_s

    async def start(self) -> None:
        """Begin; starting what runs already changes nothing."""
        if self._task is None:
            self._is_stopping = False
            self._task = asyncio.create_task(self._run(), name=type(self).__name__)

    async def stop(self) -> None:
        """End, in the middle of a round if need be; twice is fine, and so is a loop that never started."""
        task, self._task = self._task, None
        if task is not None and self.stop_grace_s:
            self._is_stopping = True
            self.wake()
            await asyncio.wait({task}, timeout=self.stop_grace_s)
        # Before Python 3.12, asyncio.wait_for may swallow a cancellation; libraries below use it, so one is not enough.
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.2)

    def wake(self) -> None:
        """Begin the next round now instead of after its wait."""
        self._wake.set()

    async def _run(self) -> None:
        failures = 0
        while not self._is_stopping:
            self._wake.clear()
            try:
                result = await self.run_once()
            except DatabaseUnavailable as exc:
                failures += 1
                if failures == 1:
                    logger.warning("loop.database_unavailable", loop=type(self).__name__, error=str(exc))
                delay_s = max(_BACKOFF.delay_s(failures, roll=random.random()), _SHORTEST_S)  # noqa: S311 - jitter
            except Exception:
                logger.exception("loop.failed", loop=type(self).__name__)
                delay_s = max(self.interval_s, _SHORTEST_S)
            else:
                if failures:
                    logger.info("loop.recovered", loop=type(self).__name__, failures=failures)
                failures = 0
                self.round_done.send(result)
                delay_s = self.delay_after(result)
            await self._sleep(delay_s)

    async def _sleep(self, delay_s: float) -> None:
        if delay_s <= 0 or self._is_stopping:
            return
        # Not asyncio.wait_for: before Python 3.12 it may swallow a cancellation that comes with the wake-up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s * random.uniform(0.9, 1.0)):  # noqa: S311 - jitter
                await self._wake.wait()
