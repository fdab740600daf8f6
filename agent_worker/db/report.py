"""How the fleet stands: what waits, what runs, what ended lately, who works."""

from __future__ import annotations

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.workers import Workers
from agent_worker.domain.health import FleetStatus, QueuedKind, Recent, StuckTask

OVERDUE_GRACE_S = 30.0
"""A worker needs a moment to stop a task whose time is up; past this one, it cannot."""
STUCK_SHOWN = 20


class Report:
    """Reads for people and dashboards. What is unfinished is counted exactly; of history only the newest part is read.

    Args:
        db: Where the tasks are.
        look_back: Most finished tasks to read; a busier hour is judged by its newest part.
    """

    def __init__(self, db: Database, *, look_back: int = 50_000) -> None:
        self._db = db
        self._look_back = look_back

    async def status(self) -> FleetStatus:
        """Return the fleet at this moment, by the database's clock."""
        queued = await self._db.fetch_all(sql("status_pending"))
        ((scheduled, postponed, postponed_s),) = await self._db.fetch_all(sql("status_scheduled"))
        held = {"grace_s": OVERDUE_GRACE_S, "limit": STUCK_SHOWN}
        ((waiting, processing, orphaned, overdue),) = await self._db.fetch_all(sql("status_held"), held)
        stuck = await self._db.fetch_all(sql("status_stuck"), held) if orphaned or overdue else []
        (recent,) = await self._db.fetch_all(sql("status_recent"), {"look_back": self._look_back})
        workers = await Workers(self._db).all()
        return FleetStatus(
            queued=tuple(QueuedKind(*row) for row in queued),
            scheduled=scheduled,
            postponed=postponed,
            postponed_s=postponed_s,
            processing=processing,
            waiting=waiting,
            orphaned=orphaned,
            overdue=overdue,
            stuck=tuple(StuckTask(*row) for row in stuck),
            recent=Recent(*recent),
            workers=tuple(workers),
        )
