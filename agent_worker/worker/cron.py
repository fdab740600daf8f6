"""Fire schedules: insert the task of each slot as it comes, once, whoever looks first.

Every worker sleeps until the next slot and then looks; the first one that locks a schedule's row fires it, the others
find it done. Which slot is due is worked out here, from the database's time; whether it fires is decided in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from agent_worker.db.firing import Fired, Firing, Upcoming
from agent_worker.domain.client_errors import InvalidSchedule
from agent_worker.domain.schedule import Decision, decide
from agent_worker.worker.loop import Loop

logger = structlog.get_logger(__name__)

INTERVAL_S = 30.0
"""Longest sleep. Whoever writes a schedule rings; this is for those whose ring was lost."""
BATCH = 100
"""Most schedules per round; a full round repeats at once."""


@dataclass(frozen=True, slots=True)
class CronRound:
    """What a round did, and the seconds until the next slot of any schedule (None: none that is known)."""

    done: tuple[Fired, ...]
    next_due_s: float | None


class Cron(Loop[CronRound]):
    """Insert the tasks of schedules whose time has come; sleeps until the next one, at most `INTERVAL_S`."""

    def __init__(self, firing: Firing) -> None:
        super().__init__(interval_s=INTERVAL_S)
        self._firing = firing

    async def run_once(self) -> CronRound:
        """Fire what is due."""
        upcoming = await self._firing.upcoming(limit=BATCH)
        decided = [(seen, _decide(seen)) for seen in upcoming if seen.is_due]
        done = await self._firing.fire(decided) if decided else []
        for fired in done:
            _tell(fired)
        return CronRound(tuple(done), _next_due_s(upcoming, decided))

    def delay_after(self, result: CronRound) -> float:
        """Sleep until the next slot."""
        if len(result.done) >= BATCH:
            return 0.0
        if result.next_due_s is None:
            return self.interval_s
        return min(max(result.next_due_s, 0.01), self.interval_s)


def _decide(seen: Upcoming) -> Decision | str:
    try:
        return decide(seen.timing, seen.now)
    except InvalidSchedule as exc:
        return str(exc)


def _next_due_s(
    upcoming: Sequence[Upcoming], decided: Sequence[tuple[Upcoming, Decision | str]]
) -> float | None:
    # A slot that another worker is firing at this moment counts as fired.
    later = [seen.timing.next_fire_at for seen in upcoming if not seen.is_due]
    planned = [decision.next_fire_at for _, decision in decided if isinstance(decision, Decision)]
    moments = [moment for moment in (*later, *planned) if moment is not None]
    return (min(moments) - upcoming[0].now).total_seconds() if moments else None


def _tell(fired: Fired) -> None:
    if fired.refused is not None:
        logger.warning("schedule.refused", schedule=fired.name, error=fired.refused)
    elif fired.task_id is not None and fired.slot is not None:
        logger.info(
            "schedule.fired",
            schedule=fired.name,
            task_id=str(fired.task_id),
            slot=fired.slot.isoformat(),
        )
