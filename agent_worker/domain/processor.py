"""What a processor is, and what it may do with its task.

A processor is a class with a `kind` and one method. The smallest one:

```python
class Shout:
    \"\"\"Answer in capitals.\"\"\"

    kind = "shout"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        return {"answer": str(task.request_payload["prompt"]).upper()}
```

A plain `def process(self, task, ctx)` works too: it runs in a thread and gets a `SyncTaskContext`, the same
methods without `await`. Optional class attributes: `timeout_s`, the limit of one attempt in seconds when the task
names none; `payload_schema`, a pydantic model or a JSON Schema of the request payload, of which the dashboard makes a
form; and for a plain `def`, `runs_in`: "thread" (when left out) or "process", which can be killed. A method `close`,
`async` and without arguments, is called when the worker has stopped. A class whose
`__init__` takes one pydantic-settings class gets an instance of it, read from the environment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable
from uuid import UUID

from agent_worker.domain.chat import ChatModel
from agent_worker.domain.definitions import StoredDefinition
from agent_worker.domain.events import Event
from agent_worker.domain.images import ImageMaker
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import Resume, Task

if TYPE_CHECKING:
    import logging

THREAD, PROCESS = "thread", "process"
"""Values of a processor's `runs_in`."""

DEFAULT_TIMEOUT_S = 600
"""Limit of one attempt in seconds when neither the task nor its processor names one."""

Value = TypeVar("Value", bound=JsonValue)


class Checkpoints(Protocol):
    """A task's own durable notes: survive retries, rescues and waiting; gone with the task."""

    async def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """Return the value last put under `key`, by this or an earlier attempt."""
        ...

    async def put(self, key: str, value: JsonValue) -> None:
        """Store `value` durably before returning.

        Raises:
            LeaseLost: The task moved on; nothing was written.
        """
        ...


class TaskContext(Protocol):
    """Everything a processor may do besides returning its answer.

    Every write is fenced: when the task has moved on to another attempt, it raises `LeaseLost` and changes
    nothing. Let `LeaseLost`, `Parked` and `asyncio.CancelledError` pass through.
    """

    @property
    def resume(self) -> Resume:
        """Why this attempt runs: fresh, retry, rescued, postponed or answered."""
        ...

    @property
    def cancelled(self) -> bool:
        """Whether the task should stop: somebody asked, time is up, or the lease is gone.

        Coroutines are cancelled as well; this is for code in threads, which has to look.
        """
        ...

    @property
    def deadline(self) -> float:
        """When the attempt times out, on the clock of `time.monotonic()`."""
        ...

    def model(self, name: str | None = None) -> ChatModel:
        """Return a chat model by its id `provider/model`; None means the configured default.

        Raises:
            ProcessorError: No such provider, or its key is missing (code `unknown_model` or `missing_key`).
        """
        ...

    @property
    def images(self) -> ImageMaker | None:
        """Makes pictures; None where no provider of them is set up."""
        ...

    async def definition(self, reference: str, version: int | None = None) -> StoredDefinition:
        """Return a stored definition of the task's own kind.

        Another attempt may find a newer one: keep `version` in a step, and name it from then on.

        Args:
            reference: Its slug or id.
            version: Which one; None means the newest.

        Raises:
            UnknownDefinition: There is none (code `unknown_definition`, not retryable).
        """
        ...

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A standard logger whose records carry task_id, kind and attempt."""
        ...

    @property
    def checkpoint(self) -> Checkpoints:
        """Durable notes by key."""
        ...

    async def emit(self, event: Event) -> None:
        """Add an event to the task's stream. It is written within about 50 ms, in order, at the latest with the outcome."""
        ...

    async def emit_text(self, delta: str) -> None:
        """Stream a piece of text; text blocks are opened and closed for you."""
        ...

    async def progress(self, percent: float, note: str = "") -> None:
        """Show how far the task is, 0 to 100. Only the newest value of about 50 ms is written."""
        ...

    async def step(self, key: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        """Run `fn` once in the life of the task; ever after return its stored JSON result.

        Put side effects here. Events emitted inside stay in the stream once the step is finished; a step that was
        cut short runs again, and clients drop what it said. Hand `idempotency_key(key)` to whatever `fn` calls.

        Raises:
            KeyReused: The key was used with another kind of call.
            LeaseLost: The task moved on; the result was not stored.
        """
        ...

    def idempotency_key(self, key: str) -> str:
        """Return `task:key`, the same for every run of the step."""
        ...

    async def spawn(self, kind: str, payload: JsonObject, *, key: str | None = None) -> UUID:
        """Insert a child task once and return its id; the child inherits user and tenant.

        Args:
            kind: The child's processor.
            payload: Its request payload.
            key: Stable name; without one, the n-th spawn of an attempt is the n-th child.
        """
        ...

    async def wait(self, child: UUID) -> JsonObject:
        """Return a child's response payload, parking this task until the child has ended.

        Raises:
            ProcessorError: The child failed or was cancelled (code `child_failed`, not retryable).
        """
        ...

    async def ask_human(
        self,
        key: str,
        title: str,
        *,
        description: str = "",
        form: JsonObject | None = None,
        context: JsonObject | None = None,
        type: str = "approval",  # noqa: A002 - the column's name
        priority: str = "medium",
        assignee: UUID | None = None,
        timeout_s: float | None = 86_400,
    ) -> JsonObject:
        """Ask a person and return the response, parking this task until it comes.

        Args:
            key: Stable name of the question within the task.
            title: One line for the inbox.
            description: What to decide and why it is asked.
            form: JSON Schema (type object) of the response; None means `{"approved": boolean, "note": string}`.
            context: Facts shown beside the form.
            type: approval, review, input, selection, annotation, verification or custom.
            priority: low, medium, high or urgent.
            assignee: The user who may answer; None means the task's own user.
            timeout_s: Seconds until the question expires; None waits for ever.

        Raises:
            ProcessorError: Nobody answered in time (`human_timeout`) or the question was withdrawn
                (`human_cancelled`); neither is retryable.
        """
        ...

    async def ask_client(
        self, key: str, tool_calls: Sequence[JsonObject], *, timeout_s: float | None = 3_600
    ) -> Sequence[JsonObject]:
        """Have the client run tools and return their results, parking this task until they come.

        Args:
            key: Stable name of the request within the task.
            tool_calls: Each `{toolCallId, toolName, args}`.
            timeout_s: Seconds until the request expires; None waits for ever.

        Returns:
            One `{toolCallId, toolName?, result? | error?}` per call, in the client's order.

        Raises:
            ProcessorError: No results came in time (`client_timeout`).
        """
        ...


@runtime_checkable
class Processor(Protocol):
    """Answers tasks of one kind. One instance serves many tasks at once, so it keeps no state per task."""

    kind: str

    def process(self, task: Task, ctx: TaskContext) -> Awaitable[JsonObject]:
        """Answer `task`; the returned object becomes its `response_payload`.

        Raises:
            ProcessorError: The attempt failed; `code` and `retryable` decide what follows.
            Exception: Anything else fails the attempt with code `internal_error`, and is retried.
        """
        ...
