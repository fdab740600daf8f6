"""Loops of the background go on."""

from __future__ import annotations

import asyncio

from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.worker.loop import Loop


class _FailsFor(Loop[int]):
    """Fails so many rounds, and waits after none of them."""

    def __init__(self, rounds: int) -> None:
        super().__init__(interval_s=60.0)
        self._left = rounds

    async def run_once(self) -> int:
        await asyncio.sleep(0)
        self.wake()
        if self._left:
            self._left -= 1
            raise DatabaseUnavailable("the database is away")
        return self._left


async def test_an_outage_of_hours_ends_no_loop() -> None:
    loop = _FailsFor(rounds=2_000)
    await loop.start()
    try:
        assert await loop.round_done.wait() == 0
    finally:
        await loop.stop()
