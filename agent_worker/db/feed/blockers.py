"""Say which transaction a new replication slot has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from agent_worker.db.connection import Database
from agent_worker.db.feed.source import Told
from agent_worker.domain.errors import AgentWorkerError

PATIENCE_S = 2.0
"""Seconds of waiting before anybody is told, and between two looks."""


@contextlib.asynccontextmanager
async def say_who_blocks(db: Database, tell: Told) -> AsyncIterator[None]:
    """While the body runs and takes its time, tell every few seconds what it waits for."""
    watching = asyncio.create_task(_watch(db, tell), name="agent-worker-feed-blockers")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _watch(db: Database, tell: Told) -> None:
    while True:
        await asyncio.sleep(PATIENCE_S)
        with contextlib.suppress(AgentWorkerError):
            rows = await db.call("feed_blockers", {})
            if rows:
                pid, name, age_s = rows[0]
                who = f"pid {pid} ({name})" if name else f"pid {pid}"
                tell(f"waiting for a transaction that is still writing: {who}, open for {age_s:.0f} s")
