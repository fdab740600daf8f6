"""What the three ways to hear of changes have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agent_worker.db.feed.pgoutput import RowChange

MOST_ROWS = 500
"""Rows handed on at once: small enough that nobody waits for long, many enough to share one round trip."""
MOST_BYTES = 4 * 1024 * 1024
"""Bytes handed on at once, give or take one row."""

Told = Callable[[str], None]
"""Called with a sentence for a person while something is waited for."""


class Source(Protocol):
    """A way to hear of committed rows, for one session."""

    async def open(self, tell: Told) -> None:
        """Begin to hear; whatever commits after the return is read.

        Args:
            tell: Told of waits longer than a few seconds.

        Raises:
            psycopg.Error, OSError, TimeoutError: It cannot, now.
        """

    async def read(self) -> Sequence[RowChange]:
        """Wait for the next rows and return them, in the order of their commits; perhaps none.

        Not reading is how a slow consumer holds the server back: nothing is lost and nothing piles up here.

        Raises:
            psycopg.Error, OSError, TimeoutError, FeedCorrupt: The session is over.
        """

    async def close(self) -> None:
        """End the session; twice is fine, unopened is fine."""
