"""Run thousands of ended tasks again, in batches.

What has ended when the redrive is made is looked at once, oldest first: a task that fails again meanwhile is not taken
a second time. Every batch is a transaction of its own, so a redrive that breaks off has done what it said, and the
same redrive again does the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.reading import reading
from agent_worker.db.tasks import Tasks
from agent_worker.domain.client_errors import DuplicateTask
from agent_worker.domain.records import Record
from agent_worker.domain.task import TaskStatus

BATCH = 500
"""Tasks put back by one statement."""
PIECE = 20_000
"""Rows of history read by one statement."""

_FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedFilter:
    """Which ended tasks; None lets all pass.

    Attributes:
        status: A final one.
        code: `response_payload.code` of those that failed or were cancelled.
        since: Ended at or after this time.
        limit: Most tasks; the oldest are taken.
    """

    status: TaskStatus = TaskStatus.FAILED
    kind: str | None = None
    code: str | None = None
    since: datetime | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class EndedTask:
    """One of them."""

    id: UUID
    kind: str
    code: str | None


@dataclass(frozen=True, slots=True)
class EndedGroup(Record):
    """How many of one kind ended with one code."""

    kind: str
    code: str | None
    tasks: int


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of a batch.

    Attributes:
        retried: Tasks that are pending again.
        skipped: Tasks left as they are: an unfinished task has their dedupe key, or somebody else came first.
    """

    retried: int
    skipped: int


class Redrive:
    """One redrive: count what it is about, then do it.

    Args:
        db: Where the tasks are.
        wanted: Which of them.
        batch_size: Most tasks per transaction.
        piece_size: Most rows of history per look.
    """

    def __init__(
        self, db: Database, wanted: EndedFilter, *, batch_size: int = BATCH, piece_size: int = PIECE
    ) -> None:
        self._db = db
        self._tasks = Tasks(db)
        self._wanted = wanted
        self._batch_size = batch_size
        self._piece_size = piece_size
        self._until: datetime | None = None

    async def count(self) -> list[EndedGroup]:
        """Return how many tasks it is about, the largest group first. Changes nothing."""
        counts: Counter[tuple[str, str | None]] = Counter()
        async for batch in self._batches():
            counts.update((task.kind, task.code) for task in batch)
        groups = [EndedGroup(kind, code, tasks) for (kind, code), tasks in counts.items()]
        return sorted(groups, key=lambda group: (-group.tasks, group.kind, group.code or ""))

    async def run(self) -> AsyncIterator[Redriven]:
        """Put the tasks back, batch by batch."""
        async for batch in self._batches():
            yield await self._put_back([task.id for task in batch])

    async def _batches(self) -> AsyncIterator[list[EndedTask]]:
        left = self._wanted.limit
        async for piece in self._pieces():
            taken = piece[:left]
            for start in range(0, len(taken), self._batch_size):
                yield taken[start : start + self._batch_size]
            if left is not None:
                left -= len(taken)
                if not left:
                    return

    async def _pieces(self) -> AsyncIterator[list[EndedTask]]:
        if self._until is None:
            self._until = await self._db.fetch_value(sql("database_time"))
        params: dict[str, Any] = {
            "status": self._wanted.status.value,
            "kind": self._wanted.kind,
            "code": self._wanted.code,
            "until": self._until,
            "after_at": self._wanted.since,
            "after_id": _FIRST_ID,
            "piece": self._piece_size,
        }
        while True:
            async with reading(self._db) as reader:
                rows = await reader.rows(sql("find_ended"), params)
            if not rows:
                return
            params |= {"after_at": rows[0][3], "after_id": rows[0][4]}
            yield [EndedTask(*row[:3]) for row in rows if row[0] is not None]

    async def _put_back(self, ids: Sequence[UUID]) -> Redriven:
        try:
            changes = await self._tasks.retry(ids)
        except DuplicateTask:
            return await self._one_by_one(ids)
        retried = sum(change.before is not change.after for change in changes)
        return Redriven(retried, len(ids) - retried)

    async def _one_by_one(self, ids: Sequence[UUID]) -> Redriven:
        if len(ids) == 1:
            return Redriven(0, 1)
        parts = [await self._put_back([task_id]) for task_id in ids]
        return Redriven(sum(part.retried for part in parts), sum(part.skipped for part in parts))
