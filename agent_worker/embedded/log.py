"""The file that takes what initdb and the server say, and the end of it for error messages."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 8 * 1024 * 1024
"""A log larger than this is emptied at the next start."""

_LAST_LINES = 6
_PROGRESS = re.compile(r"\.\.\. \S+$|^initdb: removing |^child process ")


@dataclass(frozen=True, slots=True)
class ServerLog:
    """A log of mode 0600 that only grows while a server runs.

    It is opened by us and passed on as stderr: as root it may lie where the server's account cannot open it.
    """

    path: Path

    def append(self) -> BinaryIO:
        """Open it for writing at its end, never through a link."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(self.path, flags, 0o600), "ab")

    def begin(self) -> int:
        """Empty it if it is overlong; return where the next line will stand, in bytes."""
        with self.append() as file:
            if file.tell() > MAX_BYTES:
                file.truncate(0)
                return 0
            return file.tell()

    def since(self, start: int) -> str:
        """Return what was said after `begin`."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")


def trouble(said: str) -> str:
    """Return what was said last as one line for a message, without initdb's reports of progress."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if not _PROGRESS.search(line)]
    return " / ".join((telling or lines)[-_LAST_LINES:]) or "it said nothing"
