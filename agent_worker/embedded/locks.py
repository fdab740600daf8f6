"""The two locks of a data directory, both flock(2): the kernel drops them when their holder dies, however.

- The *decision lock* (`postgres.lock`) is held while a process decides whether to start or to join, so that of
  many that come at once one starts.
- The *cluster lock* lies on the cluster directory itself. Its descriptor is passed to the guard, from there to
  the postmaster and with it to every backend, and nobody ever unlocks it: it is free when the last process that
  could write to the cluster is gone. That says more than postmaster.pid, whose pid may be reused, and holds
  across containers that share a volume but not their pids, and for two links to one cluster.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable

if sys.platform != "win32":
    import fcntl

POLL_S = 0.01


@contextmanager
def decision_lock(path: Path, *, timeout_s: float) -> Iterator[None]:
    """Hold the decision lock.

    Args:
        path: The lock file, created 0600 if need be.
        timeout_s: Longest wait in seconds.

    Raises:
        ConfigurationError: The file belongs to another user.
        DatabaseUnavailable: Somebody else held it for longer than `timeout_s`.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigurationError(
            f"the lock {path} cannot be opened · {exc.strerror} · run as the user that made {path.parent}, "
            "or set AGENT_WORKER_DATA_DIR to another folder"
        ) from exc
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"the embedded PostgreSQL in {path.parent} is not ready · another process has been starting or "
                    f"stopping it for {timeout_s:.0f} s · look into {path.with_suffix('.log')}, and end that process"
                )
            time.sleep(POLL_S)
        try:
            yield
        finally:  # unlocked by name: a process forked meanwhile shares the lock and would keep it after our close
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


@contextmanager
def cluster_lock(cluster: Path) -> Iterator[int]:
    """Take the cluster lock and yield the descriptor to pass on to the server.

    It is only closed at the end, never unlocked: the lock lives on in every process it was passed to. A link
    to a cluster elsewhere is followed.

    Raises:
        DatabaseUnavailable: A process of a server lives.
    """
    descriptor = _open_directory(cluster)
    try:
        if not _try_lock(descriptor, fcntl.LOCK_EX):
            raise DatabaseUnavailable(
                f"the database in {cluster} is in use · another data directory may point to it · stop its server, "
                "or set AGENT_WORKER_DATA_DIR to another folder"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def is_cluster_free(cluster: Path) -> bool:
    """Tell whether no process of a server is left that could write to the cluster."""
    descriptor = _open_directory(cluster)
    try:
        return _try_lock(
            descriptor, fcntl.LOCK_SH
        )  # shared, so that two who ask at once do not see each other
    finally:
        os.close(descriptor)


def _open_directory(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise ConfigurationError(
            f"the data directory cannot be locked · its file system says: {exc.strerror} · set AGENT_WORKER_DATA_DIR "
            "to a folder on a local disk"
        ) from exc
    return True
