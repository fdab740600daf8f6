"""How much one socket may ask, hear and leave unread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RealtimeLimits:
    """Bounds of one gateway; far above what an application does, far below what would hurt the others.

    Attributes:
        sockets: Open at once.
        channels: Joined at once on one socket; Supabase allows 100.
        bindings: Entries of `postgres_changes` in one channel.
        joins_per_s: Joins that last, on one socket; twice as many channels as it may have at once after a pause.
        messages_per_s: Messages that last, on one socket; twice as many at once after a pause.
        broadcast_bytes: Largest payload of a broadcast or of presence; Supabase's paid plans allow 3,000 kB.
        tracks: Presence calls of one channel in `tracks_window_s` seconds, as upstream.
        unread_bytes: What may wait for one socket to read; it is dropped beyond.
        unread_frames: As many messages.
        unread_total_bytes: What may wait for all sockets; beyond, whoever has more than its share waiting is dropped.
        idle_s: Seconds of silence after which a socket is dead; clients send a heartbeat every 25.
        farewell_s: Longest time for the last messages of a socket that we close.
        wait_s, longest_wait_s: How long a join with `postgres_changes_options.wait` takes unless it says so, and at most.
        recheck_s: Seconds after which a channel's token is verified again: its signer may have withdrawn the key.
    """

    sockets: int = 10_000
    channels: int = 100
    bindings: int = 100
    joins_per_s: float = 50.0
    messages_per_s: float = 500.0
    broadcast_bytes: int = 3_000_000
    tracks: int = 5
    tracks_window_s: float = 30.0
    unread_bytes: int = 16 * 1024 * 1024
    unread_frames: int = 20_000
    unread_total_bytes: int = 512 * 1024 * 1024
    idle_s: float = 60.0
    farewell_s: float = 2.0
    wait_s: float = 15.0
    longest_wait_s: float = 20.0
    recheck_s: float = 300.0


class Bucket:
    """A token bucket of one socket.

    Args:
        per_s: Tokens it gains each second.
        burst: Tokens it holds.
        monotonic: A clock in seconds.
    """

    __slots__ = ("_burst", "_counted_at", "_left", "_monotonic", "_per_s")

    def __init__(
        self, *, per_s: float, burst: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = burst
        self._monotonic = monotonic
        self._counted_at = monotonic()

    def take(self) -> bool:
        """Take a token; False when there is none."""
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._per_s)
        self._counted_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Window:
    """Counts calls in windows of a fixed length, the first call opening each.

    Args:
        most: Calls per window.
        window_s: Its length in seconds.
    """

    __slots__ = ("_closes_at", "_count", "_monotonic", "_most", "_window_s")

    def __init__(
        self, *, most: int, window_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._window_s = window_s
        self._monotonic = monotonic
        self._closes_at = 0.0
        self._count = 0

    def take(self) -> bool:
        """Count a call; False when the window is full."""
        now = self._monotonic()
        if now >= self._closes_at:
            self._closes_at = now + self._window_s
            self._count = 0
        self._count += 1
        return self._count <= self._most
