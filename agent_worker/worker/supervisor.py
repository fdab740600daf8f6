"""Several worker processes under one parent: start them, restart what crashes, pass signals on, end together.

A socket pair links parent and child. The child writes its name into it once it is in the fleet, and reads from it
until the kernel says that the other end is closed: the parent is gone, however it ended. A child without a parent
gives its tasks back and ends within seconds, for nobody would restart it, and the embedded database goes with the
parent. PR_SET_PDEATHSIG would do less: it exists on Linux only, and fires when the parent's thread ends.

Children have sessions of their own, so that Ctrl-C in a terminal reaches only the parent, which tells them once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import structlog

from agent_worker.domain.backoff import Backoff

logger = structlog.get_logger(__name__)

STEADY_S = 60.0
"""A child that lived longer than this before it crashed is restarted as if it were its first crash."""

ORPHAN_S = 10.0
"""Longest that a child without a parent lives; giving tasks back takes less."""

_CONFIGURATION_ERROR = 2


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a child.

    Attributes:
        index: Which of the children, from 0.
        number: How often this one was started, from 1.
        link: Descriptor of the child's end of the link; see `SupervisorLink`.
    """

    index: int
    number: int
    link: int


class Supervisor:
    """Keeps `processes` children running until it is stopped.

    A child that crashes is restarted with backoff. One that ends by itself with exit code 0 is not. One that ends
    with 2, a configuration error, would only do so again: it is given up, and when it had never been in the fleet,
    the others are stopped too, because half a fleet hides the mistake.

    Args:
        command: Makes the command of a start.
        processes: How many children.
        environment: Theirs.
        stop_patience_s: Seconds that children get to end after `stop`, before they are killed.
        on_ready: Called with the children's names, once, when all are in the fleet.
        output: Where children's standard output and error go; None: where ours go.
        backoff: Waits between restarts.
    """

    def __init__(
        self,
        command: Callable[[Start], Sequence[str]],
        *,
        processes: int,
        environment: Mapping[str, str],
        stop_patience_s: float,
        on_ready: Callable[[Sequence[str]], None] | None = None,
        output: IO[bytes] | None = None,
        backoff: Backoff = Backoff(base_s=0.5, max_s=30.0),  # noqa: B008 - frozen
    ) -> None:
        self._command = command
        self._processes = processes
        self._environment = dict(environment)
        self._stop_patience_s = stop_patience_s
        self._on_ready = on_ready
        self._output = output
        self._backoff = backoff
        self._names: dict[int, str] = {}
        self._running: dict[int, asyncio.subprocess.Process] = {}
        # Two of a kind might be delivered as one.
        self._signals = itertools.chain((signal.SIGTERM, signal.SIGINT), itertools.repeat(signal.SIGKILL))
        self._stopping = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Start the children and return when all have ended for good.

        Returns:
            0, or 2 when a child refused its configuration, or 1 when one had to be killed.
        """
        patience = asyncio.create_task(self._lose_patience(), name="supervisor-patience")
        try:
            async with asyncio.TaskGroup() as group:
                for index in range(self._processes):
                    group.create_task(self._keep(index), name=f"supervisor-{index}")
        finally:
            patience.cancel()
        return self._exit_code

    def stop(self) -> None:
        """Have the children drain; called again, give their tasks back at once; a third time, kill them."""
        self._stopping.set()
        self._signal_all(next(self._signals))

    async def _keep(self, index: int) -> None:
        crashes = 0
        number = 0
        while not self._stopping.is_set():
            number += 1
            began = time.monotonic()
            code = await self._run_child(index, number)
            if self._stopping.is_set():
                self._exit_code = self._exit_code or int(code == -signal.SIGKILL)
                return
            if code == 0:
                logger.info("process.ended", index=index)
                return
            if code == _CONFIGURATION_ERROR:
                self._give_up(index)
                return
            crashes = 1 if time.monotonic() - began > STEADY_S else crashes + 1
            delay_s = self._backoff.delay_s(crashes, roll=random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            logger.warning(
                "process.crashed", index=index, ended_by=ended_by(code), restart_in_s=round(delay_s, 2)
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self._stopping.wait()

    def _give_up(self, index: int) -> None:
        logger.error("process.refused", index=index, reason="a configuration error, told above")
        self._exit_code = _CONFIGURATION_ERROR
        if index not in self._names and not self._stopping.is_set():
            self.stop()

    async def _run_child(self, index: int, number: int) -> int:
        """Start one child and return its exit code, negative when a signal ended it."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._command(Start(index, number, theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output and subprocess.STDOUT,
                env=self._environment,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._running[index] = process
        if self._stopping.is_set():  # told while it was being started
            process.send_signal(signal.SIGTERM)
        reader, writer = await asyncio.open_connection(sock=ours)
        hearing = asyncio.create_task(self._hear(index, reader))
        try:
            return await process.wait()
        finally:
            if process.returncode is None:  # `run` was cancelled
                process.kill()
                await process.wait()
            await asyncio.sleep(0)  # asyncio closes the child's transport one turn after its end
            hearing.cancel()
            writer.close()
            del self._running[index]

    async def _hear(self, index: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            line = await reader.readline()
            if not line:
                return
            self._names[index] = line.decode().strip()
            if self._on_ready is not None and len(self._names) == self._processes:
                tell, self._on_ready = self._on_ready, None
                tell([self._names[index] for index in sorted(self._names)])

    async def _lose_patience(self) -> None:
        await self._stopping.wait()
        await asyncio.sleep(self._stop_patience_s)
        logger.warning("process.killed", count=len(self._running), after_s=self._stop_patience_s)
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def ended_by(code: int) -> str:
    """Say how a process ended, by its exit code: negative when a signal ended it."""
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"


class SupervisorLink:
    """The child's end of the link.

    Args:
        descriptor: `Start.link`, as inherited.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)  # a child of ours must not hold it open

    def announce(self, name: str) -> None:
        """Tell the parent that this worker is in the fleet."""
        with contextlib.suppress(OSError):
            self._socket.sendall(f"{name}\n".encode())

    def follow(self) -> None:
        """From now on, end when the parent does; returns at once."""
        threading.Thread(target=self._end_with_parent, name="supervisor-link", daemon=True).start()

    def _end_with_parent(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(64):
                pass
        # The second one skips the grace period; two of a kind might be delivered as one. A blocked event loop hears
        # neither.
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        time.sleep(ORPHAN_S)
        os.kill(os.getpid(), signal.SIGKILL)
