"""What a call may say about a new task besides its input."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict
from uuid import UUID

from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import NewTask


class TaskColumns(TypedDict, total=False):
    """Columns of a new task; each is described at `agent_worker.domain.records.NewTask`."""

    kind: str
    id: UUID
    user_id: UUID | None
    enterprise_id: str | None
    priority: int
    run_at: datetime | None
    max_attempts: int
    timeout_s: int | None
    dedupe_key: str | None


def new_task(prompt_or_payload: str | JsonObject, columns: TaskColumns) -> NewTask:
    """Make a task of a prompt (`{"prompt": …}`) or of a whole payload."""
    if isinstance(prompt_or_payload, str):
        return NewTask(request_payload={"prompt": prompt_or_payload}, **columns)
    return NewTask(request_payload=prompt_or_payload, **columns)
