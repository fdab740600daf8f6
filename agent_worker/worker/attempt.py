"""What a context knows of its attempt by itself, wherever the processor runs."""

from __future__ import annotations

import logging

from agent_worker.domain.replay import idempotency_key
from agent_worker.domain.task import Resume, Task
from agent_worker.telemetry import task_logger


class AttemptFacts:
    """The part of a `TaskContext` that asks nobody.

    Args:
        task: The claimed task.
        deadline: When the attempt times out, on the clock of `time.monotonic()`.
    """

    def __init__(self, task: Task, deadline: float) -> None:
        self._task = task
        self._deadline = deadline

    @property
    def resume(self) -> Resume:
        """Why this attempt runs."""
        return self._task.resume

    @property
    def deadline(self) -> float:
        """When the attempt times out, on the clock of `time.monotonic()`."""
        return self._deadline

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A standard logger whose records carry task_id, kind and attempt."""
        return task_logger(self._task)

    def idempotency_key(self, key: str) -> str:
        """Return `task:key`, the same for every run of the step."""
        return idempotency_key(self._task.id, key)
