"""One process of the pool, seen from the worker: start it, give it an attempt, serve its calls, stop it.

The process leads a session and a process group of its own, so that a Ctrl-C in the worker's terminal does not reach
it and a SIGKILL reaches everything it has started. Killing is what the process is for: within a second of its
cancellation an attempt is over or dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Self

import structlog

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.outcome import Completed, Failed
from agent_worker.domain.replay import Parked, Question
from agent_worker.domain.task import Task
from agent_worker.worker.answers import answer
from agent_worker.worker.context import LiveContext
from agent_worker.worker.supervisor import ended_by
from agent_worker.worker.wire import (
    CALL,
    COMPLETED,
    FAILED,
    FAREWELL_S,
    HEAD,
    Job,
    RemoteError,
    Reply,
    Setup,
    Stop,
    decode,
    describe,
    message,
    question_key,
    restore,
)

logger = structlog.get_logger(__name__)

STOP_GRACE_S = 0.5
"""What a stopped attempt gets to look at `ctx.cancelled` and end. A worker in a hurry waits 1 s for all of it."""

REAP_S = 0.4
"""Longest wait for the kernel to bury what was killed; only a broken disk or network drive takes it."""

_BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from agent_worker.worker.child import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class PoolProcess:
    """A process that runs one attempt at a time; made by `start`.

    Attributes:
        pid: Its process id, which is its process group's too.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        life: int,
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer
        self._life = life
        self._head: tuple[bytes, int] | None = None
        self._jobs = 0
        self._is_busy = False
        self._is_worn = False
        self._questions: dict[str, Question] = {}
        self._end = asyncio.create_task(self._bury())

    @classmethod
    async def start(cls, setup: Setup, *, environment: Mapping[str, str]) -> Self:
        """Start a process; it takes an attempt at once, though it needs a moment to load.

        Raises:
            OSError: The system gives us no process.
        """
        ours, theirs = socket.socketpair()
        life_theirs, life = os.pipe()
        with contextlib.ExitStack() as at_end, contextlib.ExitStack() as on_failure:
            at_end.callback(theirs.close)
            at_end.callback(os.close, life_theirs)
            on_failure.callback(ours.close)
            on_failure.callback(os.close, life)
            reader, writer = await asyncio.open_connection(sock=ours)
            on_failure.callback(writer.close)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _BOOT, str(theirs.fileno()), str(life_theirs), *sys.path),
                stdin=subprocess.DEVNULL,
                env=environment,
                pass_fds=(theirs.fileno(), life_theirs),
                start_new_session=True,
            )
            on_failure.pop_all()
        writer.write(message(setup))
        logger.debug("pool.process_started", pid=process.pid)
        return cls(process, reader, writer, life)

    @property
    def is_fit(self) -> bool:
        """Whether it may be given another attempt: it lives, is idle, and the last one left it as it was."""
        return not (self._is_busy or self._is_worn or self._end.done())

    async def run(self, task: Task, ctx: LiveContext) -> Completed | Failed:
        """Run an attempt and return what became of it; when cancelled, the attempt is over or dead on return.

        Raises:
            ProcessorError: The processor raised it, or the process died (code `worker_process_died`).
            LeaseLost, DatabaseUnavailable, Parked: As the context's calls raised them.
            RemoteError: The processor raised anything else; the error has its name.
        """
        self._jobs += 1
        self._is_busy = True
        self._questions = {}
        self._writer.write(message(Job(self._jobs, task, ctx.deadline)))
        try:
            return await self._serve_until_end(ctx)
        except asyncio.CancelledError:
            await self._stop(task)
            raise

    async def retire(self) -> None:
        """End an idle process; libraries in it may clean up."""
        self._writer.close()
        await asyncio.wait({self._end}, timeout=FAREWELL_S)
        self.kill()
        await self.ended()

    def kill(self) -> None:
        """End the process and everything it has started, at once."""
        if not self._end.done():
            _kill_group(self.pid)

    async def ended(self) -> None:
        """Wait until it is dead, for `REAP_S` at most."""
        await asyncio.wait({self._end}, timeout=REAP_S)

    async def _bury(self) -> int:
        """Wait for the end, clean up, and return the exit code."""
        code = await self._process.wait()
        _kill_group(self.pid)  # what it has started and left running
        self._writer.transport.abort()
        os.close(self._life)
        return code

    async def _serve_until_end(self, ctx: LiveContext) -> Completed | Failed:
        serving: set[asyncio.Task[None]] = set()
        try:
            while True:
                letter, body = await self._receive()
                if letter != CALL:
                    return self._judge(letter, body)
                call = decode(body)
                if call["job"] == self._jobs:  # not a thread that an earlier attempt has left behind
                    served = asyncio.create_task(self._serve(ctx, call))
                    serving.add(served)
                    served.add_done_callback(serving.discard)
        finally:
            for served in serving:
                served.cancel()

    def _judge(self, letter: bytes, body: bytes) -> Completed | Failed:
        self._is_busy = False
        if letter == COMPLETED:
            return Completed(body.decode("ascii"))
        told = decode(body)
        if letter == FAILED:
            return Failed(str(told["message"]), code=str(told["code"]), retryable=bool(told["retryable"]))
        if (question := self._questions.get(question_key(told) or "")) is not None:
            raise Parked(question)
        error = restore(told)
        self._is_worn = isinstance(error, RemoteError)
        raise error

    async def _serve(self, ctx: LiveContext, call: dict[str, Any]) -> None:
        number: int = call["call"]
        try:
            with ctx.inside_step(call["step"]):
                reply = Reply(number, await answer(ctx, call["name"], call["arguments"]))
        except Parked as parked:
            self._questions[parked.question.key] = parked.question
            reply = Reply(number, question=parked.question)
        except Exception as error:  # noqa: BLE001 - carried to the processor, which may catch it
            reply = Reply(number, error=describe(error))
        self._writer.write(message(reply))

    async def _receive(self) -> tuple[bytes, bytes]:
        """Return the next frame; a cancelled call takes nothing away.

        Raises:
            ProcessorError: The process died.
        """
        try:
            if self._head is None:
                self._head = HEAD.unpack(await self._reader.readexactly(HEAD.size))
            letter, size = self._head
            body = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise await self._death() from None
        self._head = None
        return letter, body

    async def _death(self) -> ProcessorError:
        self.kill()  # if it lives, it has closed its end of the link, and nobody will hear of it again
        await self.ended()
        cause = ended_by(self._end.result()) if self._end.done() else "it does not answer"
        logger.warning("pool.process_died", pid=self.pid, ended_by=cause)
        return ProcessorError(
            f"The process that ran the task has died: {cause}.", code="worker_process_died", retryable=True
        )

    async def _stop(self, task: Task) -> None:
        """Tell the processor that its attempt is over, and kill the process if it goes on."""
        self._writer.write(message(Stop()))
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                while self._is_busy:
                    letter, _ = await self._receive()
                    self._is_busy = letter == CALL
        except (TimeoutError, ProcessorError):
            logger.warning("pool.process_killed", pid=self.pid, task_id=str(task.id), kind=task.kind)
        finally:
            if self._is_busy:
                self.kill()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # macOS refuses when only the dead are left
        os.killpg(pid, signal.SIGKILL)
