"""Lines that a person types, read without blocking the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator


class Keyboard:
    """Standard input, which is a terminal. Its own line editing applies; end of input is EOFError, for ever."""

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._typed = b""
        self._has_ended = False

    async def line(self) -> str:
        """Return the next line, without its end.

        Raises:
            EOFError: There is none.
        """
        with self._ready() as ready:
            while b"\n" not in self._typed:
                if self._has_ended:
                    raise EOFError
                ready.clear()
                await ready.wait()
                got = os.read(self._descriptor, 65_536)
                self._has_ended = not got
                self._typed += got
        line, _, self._typed = self._typed.partition(b"\n")
        return line.decode(errors="replace").strip()

    @contextlib.contextmanager
    def _ready(self) -> Iterator[asyncio.Event]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            yield ready
        finally:
            loop.remove_reader(self._descriptor)
