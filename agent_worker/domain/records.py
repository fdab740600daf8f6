"""What people and clients read about tasks: rows as values, each with its JSON form.

A worker's view of a task is `agent_worker.domain.task.Task`; these are the views from outside.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import TaskStatus


class Record:
    """A frozen dataclass that can be printed as JSON."""

    __slots__ = ()

    def as_json(self) -> JsonObject:
        """Return the fields by name: times as ISO 8601 with their zone, ids and states as strings."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
        return {item.name: _plain(getattr(self, item.name)) for item in fields}


def _plain(value: object) -> JsonValue:
    match value:
        case enum.Enum() | UUID():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case Record():
            return value.as_json()
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case Sequence():
            return [_plain(item) for item in value]
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form here")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task to insert; what is left out takes the table's default.

    Attributes:
        id: Chosen by the client so that it may send the same task twice without harm; None makes one.
        kind: Which processor answers.
        request_payload: Its input; for chat at least `{"prompt": str}`.
        user_id: The owner, who alone sees the task through the API; None for tasks of the system.
        enterprise_id: The tenant.
        priority: 0 to 9, higher first.
        run_at: Not before this time, with time zone; None means now.
        max_attempts: 1 to 25.
        timeout_s: Limit of one attempt in seconds, 1 to 86,400; None means the processor's default.
        dedupe_key: At most one unfinished task per kind, user and key.
    """

    id: UUID | None = None
    kind: str = "chat"
    request_payload: JsonObject = field(default_factory=dict)
    user_id: UUID | None = None
    enterprise_id: str | None = None
    priority: int = 0
    run_at: datetime | None = None
    max_attempts: int = 3
    timeout_s: int | None = None
    dedupe_key: str | None = None


@dataclass(frozen=True, slots=True)
class TaskRow(Record):
    """One line of a list of tasks.

    Attributes:
        error: Sentence of a task that failed or was cancelled.
        code: Its stable name.
        updated_at: The last change, by which lists are ordered.
    """

    id: UUID
    kind: str
    status: TaskStatus
    priority: int
    attempt: int
    max_attempts: int
    user_id: UUID | None
    enterprise_id: str | None
    worker_id: UUID | None
    progress: JsonObject | None
    error: str | None
    code: str | None
    run_at: datetime | None
    cancel_requested_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TaskList(Record):
    """Tasks by last change, newest first.

    Attributes:
        rows: At most as many as were asked for.
        looked_back_to: Tasks that last changed before this time were not looked at; None: none were left out.
    """

    rows: tuple[TaskRow, ...]
    looked_back_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class TaskRecord(Record):
    """Everything a task's row says."""

    id: UUID
    kind: str
    status: TaskStatus
    request_payload: JsonObject
    response_payload: JsonObject | None
    user_id: UUID | None
    enterprise_id: str | None
    priority: int
    run_at: datetime | None
    attempt: int
    max_attempts: int
    timeout_s: int | None
    dedupe_key: str | None
    cancel_requested_at: datetime | None
    progress: JsonObject | None
    parent_id: UUID | None
    worker_id: UUID | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TaskEvent(Record):
    """One event of a task's stream; `type` and `data` are those of `agent_worker.domain.events`."""

    seq: int
    type: str
    data: JsonObject
    attempt: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TaskResult(Record):
    """A task as somebody who waits for it sees it.

    Attributes:
        response: The answer; `{"error", "code", "retryable"}` when it failed or was cancelled, `{}` while it runs.
        attempts: Attempts started.
    """

    id: UUID
    kind: str
    status: TaskStatus
    response: JsonObject
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def answer(self) -> str:
        """The text of a chat answer.

        Raises:
            KeyError: This kind of task answers with other fields; see `response`.
        """
        return str(self.response["answer"])


@dataclass(frozen=True, slots=True)
class Change(Record):
    """What a cancel or a retry did to one task.

    Attributes:
        before: The status found; None: there is no such task.
        after: The status now. A task still `processing` after a cancel is being stopped by its worker.
    """

    id: UUID
    before: TaskStatus | None
    after: TaskStatus | None


@dataclass(frozen=True, slots=True)
class Question(Record):
    """What a task asks a person, or a client's tools.

    Attributes:
        form: JSON Schema of the response.
        context: Facts beside the form; for `client_tool` the calls, `{"toolCalls": […]}`.
    """

    id: UUID
    task_id: UUID
    key: str
    type: str
    title: str
    description: str
    form: JsonObject
    context: JsonObject
    priority: str
    status: str
    assignee: UUID | None
    user_id: UUID | None
    response: JsonObject | None
    responded_by: UUID | None
    expires_at: datetime | None
    created_at: datetime
    responded_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule to write.

    Attributes:
        name: Unique, 1 to 255 characters.
        cron: Five fields, or a word such as `@daily`.
        timezone: IANA name in which `cron` is read.

    The others are what each of its tasks gets; see `NewTask`.
    """

    name: str
    cron: str
    timezone: str = "UTC"
    kind: str = "chat"
    request_payload: JsonObject = field(default_factory=dict)
    priority: int = 0
    enterprise_id: str | None = None
    user_id: UUID | None = None
    timeout_s: int | None = None
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class Schedule(Record):
    """Everything a schedule's row says.

    Attributes:
        next_fire_at: The next slot; None until a worker has worked it out, and for one that rests.
        last_slot: The newest slot that fired.
        last_task_id: Its task, which may have been pruned since.
        error: Why it does not fire, or why its last slot did not.
    """

    name: str
    cron: str
    timezone: str
    kind: str
    request_payload: JsonObject
    priority: int
    enterprise_id: str | None
    user_id: UUID | None
    timeout_s: int | None
    max_attempts: int
    enabled: bool
    created_at: datetime
    next_fire_at: datetime | None
    last_slot: datetime | None
    last_task_id: UUID | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Limit(Record):
    """A limit on what runs at once or starts in a while, or a pause.

    Attributes:
        kind: Which tasks; None: all kinds together.
        per: all, tenant or user: whose tasks are counted together.
        key: One tenant or user; None: each.
        max_running: Most at once.
        max_starts: Most starts in `period_s` seconds.
        paused_at: Since when nothing of the kind starts.
        running: Tasks that it counts now, of all keys together.
    """

    id: int
    kind: str | None
    per: str
    key: str | None
    max_running: int | None
    max_starts: int | None
    period_s: int | None
    paused_at: datetime | None
    running: int
