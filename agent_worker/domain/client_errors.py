"""What a client is told when a call of its own cannot be done.

```
AgentWorkerError
├── TaskRefused            the row breaks a rule of the table; the message names the rule
│   ├── DuplicateTask      an unfinished task has this dedupe_key, or any task this id
│   ├── InvalidSchedule    the cron expression or the time zone means nothing
│   ├── DuplicateSchedule  a schedule has this name
│   └── DefinitionRefused  a definition cannot be stored
├── ScheduleNotFound       no schedule has this name
├── WorkerNotFound         no living worker has this name
├── TaskNotFound           no such task or question, or a shortened id that fits several
├── QuestionClosed         the question was answered, withdrawn, or is out of time
├── TaskFailed             the awaited task ended without an answer: `code`, `retryable`, `result`
│   └── TaskCancelled      … because somebody stopped it
└── WaitTimeout            the task has not ended in time (a TimeoutError, too); it goes on
```
"""

from __future__ import annotations

from uuid import UUID

from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.records import TaskResult


class TaskRefused(AgentWorkerError):
    """The row breaks a rule of the table. Sending it again would not help.

    Args:
        rule: The rule, as a sentence: `priority must be 0 to 9`.
        hint: What to do instead.
    """

    def __init__(self, rule: str, *, hint: str | None = None) -> None:
        super().__init__(f"{rule} · {hint}" if hint else rule)
        self.hint = hint


class DuplicateTask(TaskRefused):
    """Such a task is already there; `task_id` names it, or is None when it has ended in the meantime."""

    def __init__(self, rule: str, *, task_id: UUID | None) -> None:
        hint = f"it is {task_id}; wait for that one" if task_id else "it has ended by now; send yours again"
        super().__init__(rule, hint=hint)
        self.task_id = task_id


class InvalidSchedule(TaskRefused):
    """The cron expression or the time zone of a schedule means nothing."""


class DuplicateSchedule(TaskRefused):
    """A schedule has this name."""


class ScheduleNotFound(AgentWorkerError):
    """No schedule has this name."""


class DefinitionRefused(TaskRefused):
    """A definition cannot be stored; the message names the rule."""


class LimitRefused(AgentWorkerError):
    """No such limit can be set; the message names the rule."""


class LimitNotFound(AgentWorkerError):
    """There is no such limit, or the kind is not paused."""


class WorkerNotFound(AgentWorkerError):
    """No living worker has this name."""


class TaskNotFound(AgentWorkerError):
    """No task or question has this id, or a shortened id fits several."""


class QuestionClosed(AgentWorkerError):
    """The question takes no answer: somebody answered before, it was withdrawn, or its time is up."""


class TaskFailed(AgentWorkerError):
    """The awaited task ended without an answer.

    Attributes:
        code: Stable name to branch on, such as `rate_limited`.
        retryable: Whether asking again later could help.
        result: The task as it ended.
    """

    def __init__(self, result: TaskResult) -> None:
        # A person who sets the status in a table editor leaves no response.
        super().__init__(str(result.response.get("error", f"The task ended as {result.status}.")))
        self.code = str(result.response.get("code", result.status))
        self.retryable = result.response.get("retryable") is True
        self.result = result


class TaskCancelled(TaskFailed):
    """Somebody stopped the awaited task."""


class WaitTimeout(AgentWorkerError, TimeoutError):
    """The task has not ended in time. It goes on: wait again, or cancel it."""

    def __init__(self, task_id: UUID, timeout_s: float) -> None:
        super().__init__(
            f"the task {task_id} has not ended within {timeout_s:g} s · it goes on; wait again, or cancel it"
        )
        self.task_id = task_id
