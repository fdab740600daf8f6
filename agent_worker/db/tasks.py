"""Tasks, as clients and people use them: submit, look, follow, cancel, retry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

from psycopg import errors as pg

from agent_worker.db.admission import id_range, refusals, storable_json, storable_text, the_one, zoned_time
from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.reading import reading
from agent_worker.domain.client_errors import DuplicateTask
from agent_worker.domain.records import (
    Change,
    NewTask,
    TaskEvent,
    TaskList,
    TaskRecord,
    TaskResult,
    TaskRow,
)
from agent_worker.domain.task import TaskStatus

EVENTS_PER_PAGE = 1_000

_PRIMARY_KEY = "agent_task_requests_pkey"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks to list; None and an empty tuple let all pass.

    Attributes:
        code: `response_payload.code`; only tasks that failed or were cancelled have one.
        since: Last change at or after this time.
        tenant: `enterprise_id`.
        limit: Most rows.
        look_back: Most rows of history, and of each lane, to look through: what makes a list of a rare kind among
            millions of finished tasks end. `TaskList.looked_back_to` says when that cut something off.
    """

    statuses: tuple[TaskStatus, ...] = ()
    kind: str | None = None
    code: str | None = None
    since: datetime | None = None
    tenant: str | None = None
    limit: int = 50
    look_back: int = 100_000


@dataclass(frozen=True, slots=True)
class Following:
    """How a task stands, and the next events of its stream; none are missing when `status` is final and `is_all`."""

    status: TaskStatus
    events: tuple[TaskEvent, ...]
    is_all: bool

    @property
    def is_end(self) -> bool:
        """Whether the task has ended and nothing of its stream is left."""
        return self.is_all and self.status.is_final


class Tasks:
    """The table of tasks through the eyes of somebody who wants answers. Reads see every tenant's rows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def submit(self, task: NewTask) -> UUID:
        """Insert one task and return its id.

        Raises:
            DuplicateTask: An unfinished task has this dedupe_key, or any task this id.
            TaskRefused: A rule of the table is broken, or the payload cannot be stored; the message names it.
        """
        (task_id,) = await self.submit_many([task])
        return task_id

    async def submit_many(self, tasks: Sequence[NewTask]) -> list[UUID]:
        """Insert tasks in one statement, all or none, and return their ids in the same order.

        One kind's tasks of one priority are claimed in this order. Thousands a call are well; the statement is held in
        memory as a whole.

        Raises:
            DuplicateTask: One of them is already there; nothing was inserted.
            TaskRefused: One of them breaks a rule; nothing was inserted.
        """
        columns = _columns(tasks)
        try:
            with refusals():
                await self._db.fetch_all(sql("submit_tasks"), columns)
        except pg.UniqueViolation as exc:
            existing = await self._db.fetch_value(sql("find_duplicate"), columns)
            raise DuplicateTask(_duplicate_rule(exc), task_id=existing) from exc
        return list(columns["ids"])

    async def get(self, task_id: UUID) -> TaskRecord | None:
        """Return everything about a task, its payloads included."""
        rows = await self._db.fetch_all(sql("get_task"), {"id": task_id})
        return _record(rows[0]) if rows else None

    async def look(self, task_id: UUID) -> TaskResult | None:
        """Return how a task stands, with its response once it has ended."""
        rows = await self._db.fetch_all(sql("look_at_task"), {"id": task_id})
        return _result(rows[0]) if rows else None

    async def find_by_prefix(self, prefix: str) -> UUID:
        """Return the one task whose id begins so, as git finds commits.

        Raises:
            TaskNotFound: None does, several do, or `prefix` is no part of an id.
        """
        rows = await self._db.fetch_all(sql("find_task_ids"), id_range(prefix))
        return the_one("task", prefix, [row[0] for row in rows])

    async def list_newest(self, wanted: TaskFilter) -> TaskList:
        """Return tasks by last change, newest first, without reading all of the history."""
        params = {
            "statuses": [
                status.value for status in wanted.statuses or TaskStatus if _may_have(status, wanted.code)
            ],
            "kind": wanted.kind,
            "code": wanted.code,
            "since": wanted.since,
            "tenant": wanted.tenant,
            "limit": wanted.limit,
            "look_back": wanted.look_back,
        }
        async with reading(self._db) as reader:
            rows = tuple(_row(row) for row in await reader.rows(sql("list_newest"), params))
            if len(rows) == wanted.limit:
                return TaskList(rows)
            ((looked_back_to,),) = await reader.rows(sql("list_horizon"), params)
        return TaskList(rows, looked_back_to)

    async def events(
        self, task_id: UUID, *, after_seq: int = 0, limit: int = EVENTS_PER_PAGE
    ) -> list[TaskEvent]:
        """Return a piece of a task's stream, in order, from the event after `after_seq` on."""
        params = {"task_id": task_id, "after_seq": after_seq, "limit": limit}
        return [TaskEvent(*row) for row in await self._db.fetch_all(sql("task_events"), params)]

    async def follow(self, task_id: UUID, *, after_seq: int = 0) -> Following | None:
        """Return a task's status and the next events in one snapshot; None when there is no such task."""
        params = {"task_id": task_id, "after_seq": after_seq, "limit": EVENTS_PER_PAGE}
        rows = await self._db.fetch_all(sql("follow_task"), params)
        if not rows:
            return None
        events = tuple(TaskEvent(*row[1:]) for row in rows if row[1] is not None)
        return Following(TaskStatus(rows[0][0]), events, is_all=len(events) < EVENTS_PER_PAGE)

    async def cancel(self, task_ids: Collection[UUID]) -> list[Change]:
        """Stop tasks: at once where nobody runs them, else by their worker; one change per id, in order.

        Children of a task are stopped with it, and its questions are withdrawn.
        """
        return await self._change(sql("cancel_tasks"), task_ids)

    async def retry(self, task_ids: Collection[UUID]) -> list[Change]:
        """Run ended tasks again, with as many attempts as they had; one change per id, in order.

        A task that has not ended is left alone: its change reads the same before and after.

        Raises:
            DuplicateTask: A younger unfinished task has the same dedupe_key; nothing was changed.
        """
        try:
            return await self._change(sql("retry_tasks"), task_ids)
        except pg.UniqueViolation as exc:
            twin = await self._db.fetch_value(sql("find_twin"), {"ids": list(task_ids)})
            raise DuplicateTask(_duplicate_rule(exc), task_id=twin) from exc

    async def _change(self, query: LiteralString, task_ids: Collection[UUID]) -> list[Change]:
        rows = await self._db.fetch_all(query, {"ids": list(task_ids)})
        changes = {row[0]: Change(row[0], TaskStatus(row[1]), TaskStatus(row[2])) for row in rows}
        return [changes.get(task_id, Change(task_id, None, None)) for task_id in task_ids]


def _may_have(status: TaskStatus, code: str | None) -> bool:
    return code is None or status in {TaskStatus.FAILED, TaskStatus.CANCELLED}


def _duplicate_rule(exc: pg.UniqueViolation) -> str:
    if exc.diag.constraint_name == _PRIMARY_KEY:
        return "a task with this id exists"
    return "an unfinished task of the same kind and user has this dedupe_key"


def _columns(tasks: Sequence[NewTask]) -> dict[str, Any]:
    return {
        "ids": [task.id or uuid4() for task in tasks],
        "kinds": [storable_text("kind", task.kind) for task in tasks],
        "payloads": [storable_json("request_payload", task.request_payload) for task in tasks],
        "user_ids": [task.user_id for task in tasks],
        "enterprise_ids": [storable_text("enterprise_id", task.enterprise_id) for task in tasks],
        "priorities": [task.priority for task in tasks],
        "run_ats": [zoned_time("run_at", task.run_at) for task in tasks],
        "max_attempts": [task.max_attempts for task in tasks],
        "timeouts_s": [task.timeout_s for task in tasks],
        "dedupe_keys": [storable_text("dedupe_key", task.dedupe_key) for task in tasks],
    }


# The columns come in the order of the fields.


def _record(row: tuple[Any, ...]) -> TaskRecord:
    task_id, kind, status, *others = row
    return TaskRecord(task_id, kind, TaskStatus(status), *others)


def _result(row: tuple[Any, ...]) -> TaskResult:
    task_id, kind, status, response, *others = row
    return TaskResult(task_id, kind, TaskStatus(status), response or {}, *others)


def _row(row: tuple[Any, ...]) -> TaskRow:
    task_id, kind, status, *others = row
    return TaskRow(task_id, kind, TaskStatus(status), *others)
