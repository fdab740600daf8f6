"""Read a run from a cursor on: rows in, events of the protocol out.

Whatever the cursor, a run is read from its first row: only so is it known what is open at the cursor. What lies before
it is translated like the rest, and not told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from agent_worker.db.tasks import Following
from agent_worker.domain.events import ERROR, FINISH
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import TaskEvent
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.telling.legs import Audience, Legs

Extent: TypeAlias = Literal["leg", "rest"]
"""One leg, as the answer to one request; or the rest, that is everything up to the last leg that has ended."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one row became.

    Attributes:
        seq: The row's number; None where no row stands behind the events.
        events: In order, at least one.
    """

    seq: int | None
    events: tuple[JsonObject, ...]


class Reader:
    """One reader of one run.

    Args:
        run_id: The task.
        audience: Who runs the tools.
        cursor: What was read before; 0 for nothing.
        extent: How far to read.
    """

    def __init__(self, run_id: UUID, audience: Audience, *, cursor: int = 0, extent: Extent = "rest") -> None:
        self.run_id = run_id
        self.cursor = cursor
        self.position = 0
        """The last row that was read."""
        self.has_heard_the_end = False
        """Whether the leg's `finish` or `error` was told; `usage` may follow."""
        self.is_over = False
        """Whether nothing more is to be told."""
        self._extent = extent
        self._legs = Legs(str(run_id), audience)

    def read(self, page: Following) -> list[Told]:
        """Return what the next rows become; `is_over` may be true afterwards."""
        told = []
        for event in page.events:
            self.position = event.seq
            if each := self._read(event):
                told.append(each)
            if self._extent == "leg" and self._has_ended():
                self.is_over = True
                return told
        if page.is_all and self._has_ended():
            self.is_over = True
        return told

    def end(self, status: TaskStatus, response: JsonObject) -> list[Told]:
        """Return what is missing of a run that has ended, all its rows being read."""
        self.is_over = True
        events = self._legs.end(status, response)
        self._listen(events)
        return [Told(None, tuple(events))] if events else []

    def _read(self, event: TaskEvent) -> Told | None:
        events = self._legs.feed(event)
        if event.seq <= self.cursor or not events:
            return None
        self._listen(events)
        return Told(event.seq, tuple(events))

    def _listen(self, events: Iterable[JsonObject]) -> None:
        for event in events:
            self.has_heard_the_end = event["type"] in {FINISH, ERROR} or (
                self.has_heard_the_end and event["type"] == "usage"
            )

    def _has_ended(self) -> bool:
        """Tell whether a leg has ended of which something was told; at a cursor behind its end, the next one is awaited."""
        return self._legs.is_over and self.has_heard_the_end
