"""Ride out a database that is away for a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from agent_worker.domain.errors import DatabaseUnavailable

Value = TypeVar("Value")


async def patiently(call: Callable[[], Awaitable[Value]], *, patience_s: float) -> Value:
    """Make a call that may be repeated, again and again while the database is away.

    Raises:
        DatabaseUnavailable: It is still away after `patience_s` seconds.
    """

    async def once() -> Value:
        return await call()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(DatabaseUnavailable),
        stop=stop_after_delay(patience_s),
        wait=wait_random_exponential(multiplier=0.1, max=2.0),
        reraise=True,
    )
    return await retrying(once)
