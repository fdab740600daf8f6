"""What a task should look like after each call, in plain Python; and the query that shows what it does look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from agent_worker.domain.task import ALLOWED, FINAL, Lease, TaskStatus

PENDING, PROCESSING, WAITING = TaskStatus.PENDING, TaskStatus.PROCESSING, TaskStatus.WAITING
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED

LOOK: LiteralString = """
    SELECT t.id, t.status, t.attempt, t.max_attempts, t.worker_id, t.cancel_requested_at IS NOT NULL, t.run_at IS NOT NULL,
           coalesce(t.resume, 'fresh'), t.response_payload ->> 'code', t.response_payload IS NOT NULL,
           t.finished_at IS NOT NULL,
           (SELECT count(*) FROM public.agent_task_events e WHERE e.task_id = t.id),
           (SELECT coalesce(max(e.seq), 0) FROM public.agent_task_events e WHERE e.task_id = t.id),
           (SELECT jsonb_object_agg(h.key, h.status) FROM public.human_tasks h WHERE h.task_id = t.id),
           (SELECT jsonb_object_agg(c.key, c.is_done) FROM agent_worker.checkpoints c WHERE c.task_id = t.id)
    FROM public.agent_task_requests t
"""
"""Columns: the id, and then those of `Model.row`."""


@dataclass(slots=True)
class Model:
    """What the database should hold of one task."""

    max_attempts: int
    is_later: bool
    status: TaskStatus = PENDING
    attempt: int = 0
    worker: UUID | None = None
    is_cancelled: bool = False
    resume: str = "fresh"
    code: str | None = None
    events: int = 0
    questions: dict[str, str] = field(default_factory=dict)
    done: dict[str, bool] = field(default_factory=dict)

    def move(self, status: TaskStatus) -> None:
        assert status in ALLOWED[self.status], (self.status, status)
        self.status = status

    def is_held_by(self, lease: Lease) -> bool:
        return (self.status, self.attempt, self.worker) == (PROCESSING, lease.attempt, lease.worker_id)

    def end(self, status: TaskStatus, code: str | None) -> None:
        """Record the outcome; whoever did not succeed withdraws its questions."""
        self.move(status)
        self.code = code
        if status is not COMPLETED:
            for key, state in self.questions.items():
                if state == "pending":
                    self.close(key, "cancelled")

    def give_back(self, resume: str, *, is_later: bool = False, keeps_attempt: bool = True) -> None:
        """Go back to pending, or end when somebody asked for that."""
        self.worker = None
        self.attempt -= not keeps_attempt
        self.resume = resume
        self.is_later = is_later
        if self.is_cancelled:
            self.end(CANCELLED, "cancelled")
        else:
            self.move(PENDING)

    def close(self, key: str, state: str) -> None:
        self.questions[key] = state
        self.done[key] = True

    def row(self) -> tuple[Any, ...]:
        is_final = self.status in FINAL
        return (
            *(
                self.status.value,
                self.attempt,
                self.max_attempts,
                self.worker,
                self.is_cancelled,
                self.is_later,
            ),
            *(self.resume, self.code, is_final, is_final, self.events, self.events),
            *(self.questions or None, self.done or None),
        )
