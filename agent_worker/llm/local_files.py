"""The files through which the processes of one machine share one model server.

In `<data_dir>/local-model/`, each lock being a BSD lock (flock), which the kernel drops when its holder dies, however it
dies:

- `users.lock`: shared by every process that uses the server. The server ends when it can take it exclusively.
- `server.lock`: held by the server for all its life; whoever can take it knows that no server runs.
- `start.lock`: held by the process that starts a server, so that two do not.
- `server.json`: `{"base_url", "api_key", "pid"}`; means something only while `server.lock` is held.
- `server.log`: what the server prints; emptied at each start.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A running server: where it listens, what it asks for, and who it is."""

    base_url: str
    api_key: SecretStr
    pid: int


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The files of one directory; it is made when first used, readable by its owner only."""

    directory: Path

    @property
    def users_lock(self) -> Path:
        """Shared by users."""
        return self.directory / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server."""
        return self.directory / "server.lock"

    @property
    def start_lock(self) -> Path:
        """Held while a server is being started."""
        return self.directory / "start.lock"

    @property
    def log(self) -> Path:
        """Where the server prints to."""
        return self.directory / "server.log"

    @property
    def _state(self) -> Path:
        return self.directory / "server.json"

    def create(self) -> None:
        """Make the directory."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def running(self) -> Endpoint | None:
        """Return the server that runs now, or None."""
        with open_lock(self.server_lock) as fd:
            if try_lock(fd, fcntl.LOCK_SH):
                return None
        try:
            state = json.loads(self._state.read_text())
        except FileNotFoundError:  # it does not listen yet, or is on its way out
            return None
        return Endpoint(state["base_url"], SecretStr(state["api_key"]), state["pid"])

    def publish(self, endpoint: Endpoint) -> None:
        """Write the state in one step, so that nobody reads half of it."""
        state = {
            "base_url": endpoint.base_url,
            "api_key": endpoint.api_key.get_secret_value(),
            "pid": endpoint.pid,
        }
        draft = self._state.with_suffix(".draft")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(state))
        draft.replace(self._state)

    def withdraw(self) -> None:
        """Remove the state: before a server is started, and when it ends."""
        self._state.unlink(missing_ok=True)


@contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """Open a lock file; leaving closes it and drops whatever lock was taken. Child processes do not inherit it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def try_lock(fd: int, how: int) -> bool:
    """Take a lock (`fcntl.LOCK_SH` or `LOCK_EX`) if that needs no waiting."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
