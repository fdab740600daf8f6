"""What is said to one socket: written at once while it reads, kept while it does not.

What is kept is bounded, for a consumer that stops reading must cost the others nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias

from agent_worker.gateway.realtime.limits import RealtimeLimits

Frame: TypeAlias = "str | bytes | tuple[str, ...]"
"""A frame; the parts of a tuple are joined when it is written, so that what waits shares its text with other sockets."""

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
"""Codes of RFC 6455 §7.4. Never 1000: realtime-js takes that for the end and does not come back."""


class Pool:
    """Counts what waits for all sockets together."""

    __slots__ = ("sockets", "waiting_bytes")

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self.sockets = 0


class Wire(Protocol):
    """A connection, as an outbox sees it."""

    @property
    def has_room(self) -> bool:
        """Whether it takes a frame now; never while a peer does not read."""

    def write_frame(self, frame: str | bytes) -> None:
        """Send a frame. Never blocks, never raises; a connection that is lost takes everything."""

    async def room(self) -> None:
        """Return when there is room, or the connection is lost."""


class Outbox:
    """The way to one socket, and a queue before it. Make it in a running event loop.

    Args:
        wire: Where frames go; its owner has it call `flush` when there is room again.
        limits: How much may wait.
        pool: The count it takes part in; `pool.sockets` is its owner's to keep.
        on_overflow: Called once, when the consumer is too slow; what waited is gone by then. Must not block.

    Attributes:
        over: Done once the queue takes no more; its result is the code and the reason to close the socket with.
    """

    def __init__(
        self, wire: Wire, limits: RealtimeLimits, pool: Pool, *, on_overflow: Callable[[], None]
    ) -> None:
        self._wire = wire
        self._limits = limits
        self._pool = pool
        self._on_overflow = on_overflow
        self._frames: deque[tuple[Frame, int]] = deque()
        self._bytes = 0
        self._has_overflowed = False
        self.over: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    @property
    def waiting(self) -> tuple[int, int]:
        """Frames and bytes that wait."""
        return len(self._frames), self._bytes

    def put(self, frame: Frame, size: int) -> None:
        """Send a frame of about `size` bytes after all others. Never blocks; a socket that is being closed takes no more."""
        if self.over.done():
            return
        if not self._frames and self._wire.has_room:
            self._wire.write_frame(_joined(frame))
            return
        self._frames.append((frame, size))
        self._bytes += size
        self._pool.waiting_bytes += size
        if self._is_too_much() and not self._has_overflowed:
            self._has_overflowed = True
            self.clear()
            self._on_overflow()

    def put_text(self, text: str) -> None:
        """Send a text frame."""
        self.put(text, len(text))

    def close(self, code: int, reason: str = "") -> None:
        """Take no more; what waits is still written. The first call counts."""
        if not self.over.done():
            self.over.set_result((code, reason))

    def clear(self) -> None:
        """Forget what waits."""
        self._pool.waiting_bytes -= self._bytes
        self._frames.clear()
        self._bytes = 0

    def flush(self) -> None:
        """Write what waits, as far as there is room."""
        while self._frames and self._wire.has_room:
            frame, size = self._frames.popleft()
            self._bytes -= size
            self._pool.waiting_bytes -= size
            self._wire.write_frame(_joined(frame))

    async def written(self) -> None:
        """Return once nothing waits."""
        while self._frames:
            await self._wire.room()
            self.flush()

    def _is_too_much(self) -> bool:
        limits, pool = self._limits, self._pool
        if self._bytes > limits.unread_bytes or len(self._frames) > limits.unread_frames:
            return True
        if pool.waiting_bytes <= limits.unread_total_bytes:
            return False
        return self._bytes > limits.unread_total_bytes // max(pool.sockets, 1)


def _joined(frame: Frame) -> str | bytes:
    return "".join(frame) if isinstance(frame, tuple) else frame
