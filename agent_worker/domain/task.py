"""A task as a worker sees it, and the states it may take."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from agent_worker.domain.json import JsonObject
from agent_worker.domain.lanes import NOBODY, Lane


class TaskStatus(enum.StrEnum):
    """Where a task stands.

    ```
    pending ──claim──▶ processing ──▶ completed | failed | cancelled
       ▲                  │  ▲
       └─ retry, rescue ──┘  └── answer ── waiting (for a human, a client tool or a child; no worker holds it)
    ```
    """

    PENDING = "pending"
    PROCESSING = "processing"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the task has its one recorded outcome."""
        return self in FINAL


FINAL = frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED})

ALLOWED: Mapping[TaskStatus, frozenset[TaskStatus]] = MappingProxyType(
    {
        TaskStatus.PENDING: frozenset({TaskStatus.PROCESSING, TaskStatus.FAILED, TaskStatus.CANCELLED}),
        TaskStatus.PROCESSING: frozenset(
            {
                TaskStatus.PENDING,
                TaskStatus.WAITING,
                TaskStatus.COMPLETED,
                TaskStatus.FAILED,
                TaskStatus.CANCELLED,
            }
        ),
        TaskStatus.WAITING: frozenset({TaskStatus.PENDING, TaskStatus.CANCELLED}),
        # A person may redrive what ended: `agent-worker tasks retry`.
        TaskStatus.COMPLETED: frozenset({TaskStatus.PENDING}),
        TaskStatus.FAILED: frozenset({TaskStatus.PENDING}),
        TaskStatus.CANCELLED: frozenset({TaskStatus.PENDING}),
    }
)
"""Every transition the SQL functions make; a property test holds them to it."""


class Resume(enum.StrEnum):
    """Why an attempt begins."""

    FRESH = "fresh"
    RETRY = "retry"
    """The attempt before failed and was worth repeating."""
    RESCUED = "rescued"
    """The worker before died, or gave the task back while it shut down."""
    POSTPONED = "postponed"
    """What the attempt before needed, a model as a rule, was paused; it was not used up."""
    ANSWERED = "answered"
    """What the task waited for has come."""


class Task(NamedTuple):
    """One claimed task: an attempt's input. Times are the database's clock, with time zone.

    A tuple, because a worker makes one for each row it claims, and a frozen dataclass of this size takes eight times as long.
    """

    id: UUID
    kind: str
    request_payload: JsonObject
    attempt: int
    """Attempts started, this one included; from 1."""
    max_attempts: int
    created_at: datetime
    started_at: datetime
    """When this attempt was claimed."""
    priority: int = 0
    user_id: UUID | None = None
    enterprise_id: str | None = None
    parent_id: UUID | None = None
    timeout_s: int | None = None
    """Limit of one attempt in seconds; None means the processor's default."""
    resume: Resume = Resume.FRESH
    waited_s: float = 0.0
    """Seconds between becoming due and this claim."""
    seq: int = 0
    """Place in its lane; a new one each time the task becomes pending."""
    is_limited: bool = False
    """Whether a limit counts it, so that its end makes room for another."""

    @property
    def lane(self) -> Lane:
        """Whose line it stood in; see `agent_worker.domain.lanes`."""
        return self.enterprise_id or "", self.user_id or NOBODY

    @property
    def attempts_left(self) -> int:
        """Attempts that may still start after this one."""
        return self.max_attempts - self.attempt


@dataclass(frozen=True, slots=True)
class Lease:
    """What every write by a worker names; the write counts only while all three still match the row."""

    task_id: UUID
    attempt: int
    worker_id: UUID

    def __hash__(self) -> int:
        """Tell leases of different tasks apart, which are almost all there are at once."""
        return hash(self.task_id.int)
