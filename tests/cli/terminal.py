"""A terminal for the program: what a person would see and type."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.cli.program import PROGRAM, TIMEOUT_S, environment

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")

_MOVES = re.compile(r"[\r\n]|\x1b\[\d*[A-K]")


class Terminal:
    """Runs a command on a pseudo-terminal."""

    def __init__(
        self,
        folder: Path,
        url: str | None,
        *arguments: str,
        columns: int = 80,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        variables = {**environment(url), "TERM": "xterm-256color", **(env or {})}
        for name in ("COLUMNS", "LINES"):  # would be believed more than the terminal
            variables.pop(name, None)
        self.process = subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=folder,
            env=variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = ""
        self._seen = 0

    @property
    def text(self) -> str:
        """All that was written, without control sequences."""
        return _CONTROLS.sub("", self.raw)

    @property
    def lines(self) -> list[str]:
        """Every line that was written, also those that were written over."""
        return [_CONTROLS.sub("", line) for line in _MOVES.split(self.raw)]

    def until(self, text: str) -> None:
        """Return when a text has come that was not there at the last call."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.text[self._seen :]:
            assert self._read(deadline), f"no {text!r} in:\n{self.text}"
        self._seen = self.text.index(text, self._seen) + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._ours, f"{line}\n".encode())

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + TIMEOUT_S
        while self._read(deadline):
            pass
        return self.process.wait(TIMEOUT_S)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT_S)
        os.close(self._ours)

    def _read(self, deadline: float) -> bool:
        """Read what comes next; False at the end, or when it takes too long."""
        ready, _, _ = select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))
        try:
            got = os.read(self._ours, 65_536) if ready else b""
        except OSError:  # how Linux tells that the other end is closed
            return False
        self.raw += got.decode(errors="replace")
        return bool(got)
