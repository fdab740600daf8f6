"""What a client is told when a call of its own cannot be done.

```
AgentWorkerError
├── TaskRefused            the row breaks a rule of the table; the message names the rule
│   ├── DuplicateTask      an unfinished task has this dedupe_key, or any task this id
│   ├── InvalidSchedule    the cron expression or the time zone means nothing
│   ├── DuplicateSchedule  a schedule has this name
│   └── DefinitionRefused  a definition cannot be stored
├── ScheduleNotFound       no schedule has this name
├── DefinitionNotFound     no stored definition has this slug, id or version
├── ForkRefused            a pipeline's run cannot be forked from this step
├── LimitRefused           the limit breaks a rule; the message names the rule
├── LimitNotFound          no limit has this number
├── WorkerNotFound         no living worker has this name
├── TaskNotFound           no such task or question, or a shortened id that fits several
├── QuestionClosed         the question was answered, withdrawn, or is out of time
├── ResultsRefused         results of tools fit no question that is open; `open_ids` says which are
├── AnswerNotAllowed       the question is for somebody else to answer
├── TaskFailed             the awaited task ended without an answer: `code`, `retryable`, `result`
│   └── TaskCancelled      … because somebody stopped it
├── WorkerError            a pipeline ended without a result: `error_type`, `code`, `retryable`, `execution_id`
└── WaitTimeout            the task has not ended in time (a TimeoutError, too); it goes on
```
"""

from __future__ import annotations

from collections.abc import Sequence
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


class DefinitionNotFound(AgentWorkerError):
    """No stored definition has this slug or id, or it has no such version."""


class ForkRefused(AgentWorkerError):
    """A run cannot be forked from this step; the message says why, and from which it can."""


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


class ResultsRefused(AgentWorkerError):
    """Results of tools fit no question that is open.

    Args:
        problem: What is wrong, as a sentence.
        open_ids: The `toolCallId`s that the task waits for.
        is_unknown: Nothing of the kind was ever asked, as far as the table of questions knows.
    """

    def __init__(self, problem: str, *, open_ids: Sequence[str] = (), is_unknown: bool = False) -> None:
        super().__init__(f"{problem} Open are: {', '.join(open_ids)}." if open_ids else problem)
        self.open_ids = tuple(open_ids)
        self.is_unknown = is_unknown


class AnswerNotAllowed(AgentWorkerError):
    """The question is for somebody else to answer: its assignee, or the task's user where there is none."""


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


class WorkerError(AgentWorkerError):
    """A pipeline ended without a result.

    Attributes:
        error_type: The worker protocol's class of the failure, such as `provider_error`; None when it did not fail but
            was stopped, or asks for client tools.
        source: `platform`, `provider`, `tool` or `client`.
        code: Stable name to branch on, such as `rate_limited`.
        retryable: Whether running it again later could help.
        execution_id: The run.
    """

    def __init__(
        self,
        message: str,
        *,
        execution_id: str,
        error_type: str | None = None,
        source: str | None = None,
        code: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.source = source
        self.code = code
        self.retryable = retryable
        self.execution_id = execution_id


class WaitTimeout(AgentWorkerError, TimeoutError):
    """The task has not ended in time. It goes on: wait again, or cancel it."""

    def __init__(self, task_id: UUID, timeout_s: float) -> None:
        super().__init__(
            f"the task {task_id} has not ended within {timeout_s:g} s · it goes on; wait again, or cancel it"
        )
        self.task_id = task_id
