"""One process's share in the machine's model server: find it, start it when there is none, let go of it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import structlog

from agent_worker.domain.errors import UpstreamError
from agent_worker.llm.local_files import Endpoint, LocalFiles, open_lock

logger = structlog.get_logger(__name__)


class LocalHost:
    """Access to the model server of `directory`, which all processes with the same directory share.

    From the first `endpoint()` to `close()` the process counts as a user. One that is killed counts no more at once,
    since its lock dies with it. A server that has died is replaced by the next `endpoint()`.

    Args:
        directory: Where the locks, the state and the log are.
        weights: Path of the GGUF.
        linger_s: Seconds for which a server started here outlives its last user; 0.5 and more.
        start_timeout_s: Seconds to wait for a server to load; 0.8 on two cores.
    """

    def __init__(
        self, directory: Path, *, weights: Path, linger_s: float = 5.0, start_timeout_s: float = 60.0
    ) -> None:
        self._files = LocalFiles(directory)
        self._weights = weights
        self._linger_s = linger_s
        self._start_timeout_s = start_timeout_s
        self._membership: ExitStack | None = None
        # One thread: waiting for a lock or a start must not stop the event loop, and calls must not overlap.
        self._thread: ThreadPoolExecutor | None = None

    async def endpoint(self) -> Endpoint:
        """Return the running server, started now if need be.

        Raises:
            UpstreamError: It did not start.
        """
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._join)

    async def close(self) -> None:
        """Stop being a user. The server ends `linger_s` seconds later, if nobody else is one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._leave)
            thread.shutdown()

    def _join(self) -> Endpoint:
        if self._membership is None:
            self._files.create()
            with ExitStack() as stack:
                users_lock = stack.enter_context(open_lock(self._files.users_lock))
                fcntl.flock(users_lock, fcntl.LOCK_SH)  # waits for a server that is on its way out
                self._membership = stack.pop_all()
        running = self._files.running()
        return self._start_once() if running is None else running

    def _leave(self) -> None:
        membership, self._membership = self._membership, None
        if membership is not None:
            membership.close()

    def _start_once(self) -> Endpoint:
        with open_lock(self._files.start_lock) as start_lock:
            fcntl.flock(start_lock, fcntl.LOCK_EX)
            running = self._files.running()  # somebody else was quicker
            return self._start() if running is None else running

    def _start(self) -> Endpoint:
        self._files.withdraw()
        ready_fd, child_fd = os.pipe()
        try:
            self._spawn(child_fd)
            os.close(child_fd)  # so that the pipe ends when the child does
            is_ready, _, _ = select.select([ready_fd], [], [], self._start_timeout_s)
            endpoint = self._files.running() if is_ready and os.read(ready_fd, 1) else None
        finally:
            os.close(ready_fd)
        if endpoint is None:
            raise _not_started()
        logger.info("local_model.started", pid=endpoint.pid, base_url=endpoint.base_url)
        return endpoint

    def _spawn(self, ready_fd: int) -> None:
        """Start the server, which detaches itself; what is waited for here is only its first half."""
        options = {
            "--directory": str(self._files.directory),
            "--weights": str(self._weights),
            "--ready-fd": str(ready_fd),
            "--linger-s": str(self._linger_s),
        }
        command = [sys.executable, "-m", "agent_worker.llm.local_server"]
        with self._files.log.open("wb") as log:
            try:
                subprocess.run(
                    [*command, *(word for option in options.items() for word in option)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(ready_fd,),
                    start_new_session=True,
                    timeout=self._start_timeout_s,
                    check=True,
                )
            except (subprocess.SubprocessError, OSError) as error:
                os.close(ready_fd)
                raise _not_started() from error


def _not_started() -> UpstreamError:
    return UpstreamError(
        "The local model's server did not start; local-model/server.log in the data directory says why.",
        provider="local",
    )
