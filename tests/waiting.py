"""Wait for a fact instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(fact: Callable[[], Awaitable[bool]], *, timeout_s: float = 30.0) -> None:
    """Return as soon as `fact` holds.

    Raises:
        TimeoutError: It did not within `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while not await fact():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.01)
