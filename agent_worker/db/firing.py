"""Schedules, as workers fire them; how people write them is in `agent_worker.db.schedules`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from agent_worker.db.transport import Transport
from agent_worker.domain.schedule import Decision, Timing


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A schedule that will fire, as it was read at `now`, the database's time."""

    name: str
    timing: Timing
    now: datetime

    @property
    def is_due(self) -> bool:
        """Whether something is to be decided about it."""
        return self.timing.next_fire_at is None or self.timing.next_fire_at <= self.now


@dataclass(frozen=True, slots=True)
class Fired:
    """What was done with a schedule.

    Attributes:
        slot: The slot that was due; None: there was none, and only the next one was worked out.
        task_id: The task inserted for it; None: none was.
        refused: Why not; None with a slot and without a task: the slot had fired before.
    """

    name: str
    slot: datetime | None
    task_id: UUID | None
    refused: str | None


class Firing:
    """What is due, and the one place where it is done; every call is safe on all workers at once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def upcoming(self, *, limit: int) -> list[Upcoming]:
        """Return the schedules that fire next, the nearest first, due or not."""
        rows = await self._transport.call("next_schedules", {"limit": limit})
        return [
            Upcoming(
                row[0], Timing(cron=row[1], timezone=row[2], next_fire_at=row[3], last_slot=row[4]), row[5]
            )
            for row in rows
        ]

    async def fire(self, decided: Sequence[tuple[Upcoming, Decision | str]]) -> list[Fired]:
        """Do what was decided, in one transaction; a schedule that changed meanwhile is left out.

        Args:
            decided: Each schedule as it was read, with what to do or the reason why it cannot be read.
        """
        timings = [seen.timing for seen, _ in decided]
        decisions = [decision if isinstance(decision, Decision) else None for _, decision in decided]
        params = {
            "names": [seen.name for seen, _ in decided],
            "crons": [timing.cron for timing in timings],
            "timezones": [timing.timezone for timing in timings],
            "seen": [timing.next_fire_at for timing in timings],
            "slots": [decision and decision.slot for decision in decisions],
            "next": [decision and decision.next_fire_at for decision in decisions],
            "errors": [reason if isinstance(reason, str) else None for _, reason in decided],
        }
        return [Fired(*row) for row in await self._transport.call("fire_schedules", params)]
