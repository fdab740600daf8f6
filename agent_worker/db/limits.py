"""Limits on what runs at once and on what starts in a while, and pauses of kinds."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.domain.client_errors import LimitNotFound, LimitRefused
from agent_worker.domain.records import Limit


class Limits:
    """What `agent-worker limits`, `pause` and `resume` do; plain rows of `agent_worker.limits` do the same."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def set(
        self,
        *,
        kind: str | None,
        per: str,
        key: str | None,
        max_running: int | None,
        rate: tuple[int, int] | None,
    ) -> None:
        """Set a limit, or change it: what is not given stays as it is.

        Args:
            kind: Which tasks; None: all kinds together.
            per: all, tenant or user: whose tasks are counted together.
            key: One tenant or user; None: each.
            max_running: Most at once.
            rate: (tasks, seconds): most starts in any stretch of so many seconds.

        Raises:
            LimitRefused: The table refuses the combination; the message says why.
        """
        max_starts, period_s = rate or (None, None)
        params = {
            "kind": kind,
            "per": per,
            "key": key,
            "max_running": max_running,
            "max_starts": max_starts,
            "period_s": period_s,
        }
        try:
            await self._db.fetch_all(sql("set_limit"), params)
        except psycopg.errors.CheckViolation as exc:
            raise LimitRefused(exc.diag.constraint_name or "the table refuses this limit") from exc

    async def remove(self, limit_id: int) -> None:
        """Delete a limit.

        Raises:
            LimitNotFound: There is none with this id.
        """
        if await self._db.fetch_value(sql("remove_limit"), {"id": limit_id}) is None:
            raise LimitNotFound(f"there is no limit {limit_id} · `agent-worker limits list` shows all")

    async def all(self) -> Sequence[Limit]:
        """Return every limit, with how many tasks it counts now."""
        return [Limit(*row) for row in await self._db.fetch_all(sql("list_limits"))]

    async def pause(self, kind: str) -> None:
        """Start no more tasks of a kind; those that run go on."""
        await self._db.fetch_all(sql("pause_kind"), {"kind": kind})

    async def resume(self, kind: str) -> None:
        """Start tasks of a kind again.

        Raises:
            LimitNotFound: The kind is not paused.
        """
        if not await self._db.fetch_value(sql("resume_kind"), {"kind": kind}):
            raise LimitNotFound(f"the kind {kind} is not paused · `agent-worker limits list` shows what is")
