"""Look at runs that are followed: any number of them in one statement, each with the rights of whoever follows it.

One round is under way at a time. Whoever wants to look meanwhile waits for the next one, so that rounds grow as runs talk:
a look costs its rows and little more, where a statement of its own would cost the gateway ten times as much.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from agent_worker.db.arrays import BigintArray, IntArray, TextArray, UuidArray
from agent_worker.db.connection import Database
from agent_worker.db.tasks import Following
from agent_worker.db.transport import Rows
from agent_worker.domain.caller import Eyes
from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.records import TaskEvent
from agent_worker.domain.task import TaskStatus

ROWS_PER_PAGE = 200
"""Most rows that a follower holds at once, whatever its reader does."""

MOST_LOOKS = 50
"""Looks of one round."""


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    eyes: Eyes
    run_id: UUID
    after_seq: int
    cursor: int
    answer: asyncio.Future[Following | None]


class Looking:
    """Looks at runs for everybody in this process who follows some.

    Args:
        db: Its user must be one who may become the callers' roles.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[_Look] = []
        self._rounds: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """End what is under way; whoever waits for a look is cancelled. Twice is fine, and so is looking again."""
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.cancel()
            await asyncio.wait({rounds})
        for look in self._waiting:
            look.answer.cancel()
        self._waiting.clear()

    async def follow(self, eyes: Eyes, run_id: UUID, *, after_seq: int, cursor: int = 0) -> Following | None:
        """Return how a run stands and its next rows in one snapshot; None when the caller sees no such run.

        Args:
            eyes: Who asks.
            run_id: The task.
            after_seq: The last row that was read.
            cursor: Up to here rows are read only to know what is open: pieces of texts are left out.

        Raises:
            DatabaseUnavailable: Nobody answers, or not in time.
        """
        look = _Look(eyes, run_id, after_seq, cursor, asyncio.get_running_loop().create_future())
        self._waiting.append(look)
        if self._rounds is None:
            self._rounds = asyncio.create_task(self._look_around(), name="agent-worker-looking")
        return await look.answer

    async def _look_around(self) -> None:
        try:
            while self._waiting:
                looks = self._waiting[:MOST_LOOKS]
                del self._waiting[:MOST_LOOKS]
                await self._look([look for look in looks if not look.answer.done()])
        finally:
            self._rounds = None

    async def _look(self, looks: list[_Look]) -> None:
        """Answer looks; whatever happens, none is left without an answer."""
        looks.sort(key=lambda look: (look.eyes.role, look.eyes.claims))
        try:
            rows = await self._db.call("follow_runs", _params(looks))
            for look, page in zip(looks, _pages(rows, len(looks)), strict=True):
                if not look.answer.done():
                    look.answer.set_result(page)
        except AgentWorkerError as error:
            for look in looks:
                if not look.answer.done():
                    look.answer.set_exception(error)
        finally:
            for look in looks:
                look.answer.cancel()


def _params(looks: Sequence[_Look]) -> dict[str, object]:
    counts: dict[Eyes, int] = {}
    for look in looks:
        counts[look.eyes] = counts.get(look.eyes, 0) + 1
    return {
        "roles": TextArray(eyes.role for eyes in counts),
        "claims": TextArray(eyes.claims for eyes in counts),
        "counts": IntArray(counts.values()),
        "ids": UuidArray(look.run_id for look in looks),
        "after_seqs": IntArray(look.after_seq for look in looks),
        "cursors": BigintArray(look.cursor for look in looks),
        "limit": ROWS_PER_PAGE,
    }


def _pages(rows: Rows, count: int) -> list[Following | None]:
    """Return what each look came to, in order."""
    statuses: dict[int, str | None] = {}
    events: dict[int, list[TaskEvent]] = {}
    for look, status, *event in rows:
        statuses[look] = status
        if event[0] is not None:
            events.setdefault(look, []).append(TaskEvent(*event))
    return [_page(statuses.get(look), events.get(look, [])) for look in range(1, count + 1)]


def _page(status: str | None, events: Sequence[TaskEvent]) -> Following | None:
    if status is None:
        return None
    return Following(TaskStatus(status), tuple(events), is_all=len(events) < ROWS_PER_PAGE)
