"""Start the server under its guard, wait until it is ready, and stop it again."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.embedded import guard
from agent_worker.embedded.accounts import Account, bare_environment
from agent_worker.embedded.binaries import Binaries
from agent_worker.embedded.cluster import advice, server_command
from agent_worker.embedded.locks import POLL_S
from agent_worker.embedded.log import trouble
from agent_worker.embedded.places import Place
from agent_worker.embedded.state import HOST, is_alive

START_TIMEOUT_S = 120.0
"""Longest wait for a start; after a crash it replays up to max_wal_size (1 GB) of log."""

_PORT_ATTEMPTS = 5
_READY_LINE = 7
_STATUS_READY = "ready"


class GuardedServer:
    """A server that this process owns.

    The object need not be kept: until `stop`, the process itself holds the server up.

    Attributes:
        port: On 127.0.0.1.
        pid: Of the postmaster.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self._process = process
        self._owner_pid = os.getpid()
        self._stopping = threading.Lock()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Shut down fast, then harder, in bounded time; returns when the server is gone. Twice is fine.

        In a forked child of the owner it does nothing.
        """
        if os.getpid() != self._owner_pid:
            return
        with self._stopping:
            atexit.unregister(self.stop)
            _stop_guard(self._process)


def launch(
    place: Place, binaries: Binaries, account: Account, *, lock: int, preferred_port: int | None
) -> GuardedServer:
    """Start the server of an existing cluster.

    Args:
        place: Whose cluster.
        binaries: Of the cluster's major version.
        account: Who the server runs as.
        lock: Descriptor that holds the cluster lock; the server gets it, the caller closes its own.
        preferred_port: The port of the last start, taken again when it is free.

    Raises:
        DatabaseUnavailable: It did not start; the message ends with what it said last.
    """
    port = preferred_port if preferred_port is not None and _is_free(preferred_port) else _free_port()
    for attempts_left in reversed(range(_PORT_ATTEMPTS)):
        log_start = place.log.begin()
        process = _spawn_guard(place, binaries, account, port=port, lock=lock)
        try:
            pid = _wait_until_ready(process, place, deadline=time.monotonic() + START_TIMEOUT_S)
        except BaseException:  # Ctrl-C as well: nobody else knows this guard
            _stop_guard(process)
            raise
        if pid is not None:
            return GuardedServer(process, port=port, pid=pid)
        _stop_guard(process)
        said = place.log.since(log_start)
        if "Address already in use" not in said or not attempts_left:
            break
        port = _free_port()  # another program was quicker
    why = trouble(said)
    raise DatabaseUnavailable(
        f"PostgreSQL {binaries.version} did not start on {place.cluster} · {why} · {advice(why, place)}"
    )


def forget_dead_server(place: Place) -> None:
    """Remove what a killed server left behind: its pid may be in use again, and then PostgreSQL would not start.

    The caller holds the cluster lock, so no server of ours is alive; one started by hand holds no such lock.

    Raises:
        DatabaseUnavailable: A server that was started by hand runs on the cluster.
    """
    pid = postmaster_pid(place.cluster)
    if pid is not None and is_alive(pid) and serves(pid, place.cluster):
        raise DatabaseUnavailable(
            f"the database in {place.cluster} is in use · a server that agent-worker did not start runs on it, pid "
            f"{pid} · stop it (kill -INT {pid}), or set DATABASE_URL to use it"
        )
    (place.cluster / "postmaster.pid").unlink(missing_ok=True)


def serves(pid: int, cluster: Path) -> bool:
    """Tell whether `pid` is a server of this cluster: a postmaster's working directory is its cluster."""
    wanted = os.path.realpath(cluster)
    if Path("/proc/self/cwd").exists():
        try:
            return str(Path(f"/proc/{pid}/cwd").readlink()) == wanted
        except OSError:  # gone, or another user's
            return False
    said = subprocess.run(
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return f"-D {wanted} " in said.stdout


def postmaster_pid(cluster: Path) -> int | None:
    """Return the pid that postmaster.pid names, alive or not, or None when there is none."""
    return _postmaster(cluster)[0]


def _spawn_guard(
    place: Place, binaries: Binaries, account: Account, *, port: int, lock: int
) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-I", "-S", os.path.realpath(guard.__file__)),
        *map(str, (os.getpid(), account.uid, account.gid)),
        *server_command(place, binaries, port=port),
    ]
    with place.log.append() as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd="/",
            env=bare_environment(),
            start_new_session=True,  # a terminal's Ctrl-C is for the owner
            pass_fds=(lock,),
        )


def _stop_guard(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None and not process.stdin.closed:
        # A byte, because end of file alone would not come while a forked child holds the pipe open.
        with suppress(BrokenPipeError):
            process.stdin.write(b".")
        process.stdin.close()
    try:
        process.wait(guard.TOTAL_S + 2.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], place: Place, *, deadline: float) -> int | None:
    """Return the postmaster's pid, or None when it ended or the deadline passed."""
    while process.poll() is None and time.monotonic() < deadline:
        pid, status = _postmaster(place.cluster)
        if pid is not None and status == _STATUS_READY:
            return pid
        time.sleep(POLL_S)
    return None


def _postmaster(cluster: Path) -> tuple[int | None, str]:
    """Parse postmaster.pid (src/include/utils/pidfile.h): the pid in its first line, the status in its eighth."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None, ""
    return pid, lines[_READY_LINE].strip() if len(lines) > _READY_LINE else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As PostgreSQL does: connections of the last start in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
        return True
