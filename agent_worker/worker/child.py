"""The inside of a process of the pool: take a job, run its processor, tell how it ended, wait for the next.

It has no database and no way to one: what the processor asks of its context goes through a socket to the worker and
is done there. The main thread runs the processor. A second one listens; it sets `ctx.cancelled` and hands replies out.

The process ends with the worker, however that ends, and takes its process group along: the kernel does it on Linux
(see `_end_with_worker`), the listening thread elsewhere.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import pickle
import queue
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from agent_worker.domain.json import JsonObject
from agent_worker.domain.outcome import Failed
from agent_worker.domain.processor import Processor
from agent_worker.worker.ending import completed, deciding
from agent_worker.worker.remote import Calls, RemoteTaskContext
from agent_worker.worker.wire import (
    COMPLETED,
    FAILED,
    FAREWELL_S,
    HEAD,
    RAISED,
    Job,
    Reply,
    Setup,
    Stop,
    describe,
    encode,
    frame,
)

OOM_SCORE = "500"
"""When memory runs out, the kernel takes this process and not the worker with all its other tasks."""


def main(descriptor: int, life: int) -> None:
    """Serve jobs until the worker hangs up.

    Args:
        descriptor: Our end of the socket pair.
        life: Read end of a pipe into which nobody writes; it closes when the worker is gone.
    """
    del sys.argv[1:]
    _end_with_worker(life)
    faulthandler.enable()  # a segmentation fault leaves the Python lines it came from on standard error
    for number in (signal.SIGTERM, signal.SIGINT):
        # The worker decides when we stop: a service manager's SIGTERM reaches every process, and the worker drains.
        # Not SIG_IGN, which programs started from here would inherit.
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
    os.set_inheritable(descriptor, False)  # noqa: FBT003 - the function has no keyword
    _Child(socket.socket(fileno=descriptor)).run()


def _end_with_worker(life: int) -> None:
    """Have the kernel kill our process group once the pipe has no writer.

    A thread could not: it does not run while an extension or a regular expression holds the interpreter's lock, and
    PR_SET_PDEATHSIG spares what the processor started.
    """
    os.set_inheritable(life, False)  # noqa: FBT003 - as above
    if sys.platform == "linux":
        fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([life], [], [], 0)[0]:  # the worker was quicker
        sys.exit(1)


class _Child:
    """The two threads and what they share."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._incoming = link.makefile("rb")
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[Setup | tuple[Job, Calls] | None] = queue.SimpleQueue()
        self._calls: Calls | None = None
        self._setup = Setup(b"", {})
        self._processors: dict[str, Processor] = {}

    def run(self) -> None:
        threading.Thread(target=self._listen, name="worker-link", daemon=True).start()
        while (content := self._inbox.get()) is not None:
            if isinstance(content, Setup):
                self._setup = content
                pickle.loads(content.prepare)()  # noqa: S301 - from the worker, whose code we are
            else:
                self._work(*content)

    def _work(self, job: Job, calls: Calls) -> None:
        ctx = RemoteTaskContext(job.task, job.deadline, calls)
        try:
            outcome = completed(job.task, self._processor(job.task.kind).process(job.task, ctx))  # type: ignore[arg-type]  # a blocking one; see the registry
            if isinstance(outcome, Failed):
                facts: JsonObject = {
                    "message": outcome.message,
                    "code": outcome.code,
                    "retryable": outcome.retryable,
                }
                letter, body = FAILED, encode(facts)
            else:
                letter, body = COMPLETED, outcome.response.encode("ascii")
        except BaseException as error:  # noqa: BLE001 - carried to the executor, which decides; SystemExit ends no worker
            letter, body = RAISED, encode(describe(deciding(error)))
        calls.end()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._send(letter, body)

    def _processor(self, kind: str) -> Processor:
        if kind not in self._processors:
            self._processors[kind] = pickle.loads(self._setup.builders[kind])()  # noqa: S301 - as above
        return self._processors[kind]

    def _send(self, letter: bytes, body: bytes) -> None:
        with self._sending:
            self._link.sendall(frame(letter, body))

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while head := self._incoming.read(HEAD.size):
                _, size = HEAD.unpack(head)
                self._hear(pickle.loads(self._incoming.read(size)))  # noqa: S301 - as above
        self._leave()

    def _hear(self, content: Setup | Job | Stop | Reply) -> None:
        match content:
            case Reply() if self._calls is not None:
                self._calls.settle(content)
            case Stop() if self._calls is not None:
                self._calls.end()
            case Setup():
                self._inbox.put(content)
            case Job():
                self._calls = Calls(content.number, self._send)  # here, so that a Stop right behind finds it
                self._inbox.put((content, self._calls))

    def _leave(self) -> None:
        """End: at once in the middle of a job, otherwise as programs do, with what libraries do at exit."""
        is_busy = self._calls is not None and not self._calls.has_ended
        if not is_busy:
            self._inbox.put(None)
            time.sleep(FAREWELL_S)
        os.killpg(0, signal.SIGKILL)
