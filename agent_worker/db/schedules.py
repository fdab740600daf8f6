"""Schedules, as people write them; how workers fire them is in `agent_worker.db.firing`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent_worker.db.admission import refusals, storable_json, storable_text
from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.domain.client_errors import DuplicateSchedule, ScheduleNotFound
from agent_worker.domain.records import NewSchedule, Schedule
from agent_worker.domain.schedule import Timetable


class Schedules:
    """The table of schedules."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, new: NewSchedule) -> Schedule:
        """Write a new schedule and return its row; it fires from the next slot on.

        Raises:
            InvalidSchedule: The cron expression or the time zone means nothing.
            DuplicateSchedule: The name is taken.
            TaskRefused: Another rule of the table is broken; the message names it.
        """
        with refusals():
            rows = await self._db.fetch_all(sql("add_schedule"), await self._columns(new))
        if not rows:
            raise DuplicateSchedule(
                f"there is a schedule {new.name!r} already",
                hint="remove it first: agent-worker schedules remove, or write over it: --replace",
            )
        return Schedule(*rows[0])

    async def replace(self, new: NewSchedule) -> Schedule:
        """Write a schedule over the one of its name, if there is one, and return its row.

        What has fired stays fired; a schedule that was switched off is on again.

        Raises:
            InvalidSchedule: The cron expression or the time zone means nothing.
            TaskRefused: Another rule of the table is broken; the message names it.
        """
        with refusals():
            (row,) = await self._db.fetch_all(sql("replace_schedule"), await self._columns(new))
        return Schedule(*row)

    async def remove(self, name: str) -> None:
        """Delete a schedule; the tasks it has inserted stay.

        Raises:
            ScheduleNotFound: There is none of this name.
        """
        if not await self._db.fetch_all(sql("remove_schedule"), {"name": storable_text("name", name)}):
            raise ScheduleNotFound(f"there is no schedule {name!r} · see: agent-worker schedules list")

    async def all(self) -> list[Schedule]:
        """Return every schedule, by name."""
        return [Schedule(*row) for row in await self._db.fetch_all(sql("list_schedules"))]

    async def _columns(self, new: NewSchedule) -> dict[str, Any]:
        timetable = Timetable(new.cron, new.timezone)
        now: datetime = await self._db.fetch_value(sql("database_time"))
        return {
            "name": storable_text("name", new.name),
            "cron": new.cron,
            "timezone": new.timezone,
            "kind": storable_text("kind", new.kind),
            "payload": storable_json("request_payload", new.request_payload),
            "priority": new.priority,
            "enterprise_id": storable_text("enterprise_id", new.enterprise_id),
            "user_id": new.user_id,
            "timeout_s": new.timeout_s,
            "max_attempts": new.max_attempts,
            "next_fire_at": timetable.after(now),
        }
