"""The worker's processes for processors that ask for one: a heavy attempt has a process to itself and can be killed.

Processes start when they are first needed and are used again, since loading heavy libraries takes seconds. One that
has nothing to do for `IDLE_S` ends; one whose attempt was killed, or failed in a way its processor did not name, is
replaced, since nobody knows what state it is in.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Mapping

import structlog

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.outcome import Completed, Failed
from agent_worker.domain.processor import Processor
from agent_worker.domain.task import Task
from agent_worker.worker.context import LiveContext
from agent_worker.worker.pool_process import PoolProcess
from agent_worker.worker.wire import Setup

logger = structlog.get_logger(__name__)

IDLE_S = 300.0
"""Seconds after which a process with nothing to do gives its memory back."""


class ProcessPool:
    """Runs attempts in processes, each in one of its own.

    Args:
        size: Most processes at once.
        builders: By kind, what makes the processor inside a process; picklable. Only these kinds run here.
        prepare: Called first in each process, to set logging up for instance; picklable.
        environment: Of the processes. Without the way to the database: they need none.
        idle_s: Seconds that a process lives without work.

    Raises:
        pickle.PicklingError: A function is not at the top level of a module.
    """

    def __init__(
        self,
        *,
        size: int,
        builders: Mapping[str, Callable[[], Processor]],
        prepare: Callable[[], None],
        environment: Mapping[str, str],
        idle_s: float = IDLE_S,
    ) -> None:
        self.size = size
        self.kinds = frozenset(builders)
        self._setup = Setup(
            pickle.dumps(prepare), {kind: pickle.dumps(builder) for kind, builder in builders.items()}
        )
        self._environment = environment
        self._idle_s = idle_s
        self._seats = asyncio.Semaphore(size)
        self._idle: dict[PoolProcess, asyncio.TimerHandle] = {}
        self._busy: set[PoolProcess] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """Attempts that run in a process."""
        return len(self._busy)

    async def run(self, task: Task, ctx: LiveContext) -> Completed | Failed:
        """Run one attempt; waits while all processes are busy.

        Raises:
            ProcessorError: As `PoolProcess.run`, or no process could be started (code `worker_process_died`).
            BaseException: Whatever the processor raised, as `PoolProcess.run` tells it.
        """
        async with self._seats:
            process = await self._idle_or_new()
            self._busy.add(process)
            try:
                return await process.run(task, ctx)
            finally:
                self._busy.discard(process)
                await self._put_back(process)

    async def close(self) -> None:
        """End all processes; a pool without any is fine."""
        for process in self._busy:
            process.kill()
        for process in list(self._idle):
            self._retire(process)
        while self._leaving:
            await asyncio.wait(self._leaving)

    async def _idle_or_new(self) -> PoolProcess:
        while self._idle:
            process, timer = self._idle.popitem()  # the one used last, so that the others may age
            timer.cancel()
            if process.is_fit:
                return process
        try:
            return await PoolProcess.start(self._setup, environment=self._environment)
        except OSError as exc:
            raise ProcessorError(
                f"No process could be started for the task: {exc.strerror or type(exc).__name__}.",
                code="worker_process_died",
                retryable=True,
            ) from exc

    async def _put_back(self, process: PoolProcess) -> None:
        if process.is_fit:
            timer = asyncio.get_running_loop().call_later(self._idle_s, self._retire, process)
            self._idle[process] = timer
            return
        process.kill()
        await process.ended()

    def _retire(self, process: PoolProcess) -> None:
        self._idle.pop(process).cancel()
        leaving = asyncio.create_task(process.retire())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        logger.debug("pool.process_retired", pid=process.pid)
