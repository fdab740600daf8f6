"""Run a processor without a database: a task, and a context that records what was done with it.

```python
ctx = FakeContext(human={"publish": {"approved": True}})
answer = await MyProcessor().process(make_task({"prompt": "hello"}), ctx)
assert ctx.text == "…"
```

It waits by replay as the engine does: a question without a scripted answer raises `Parked`, and `ctx.again(…)` returns
the context of the next attempt, which remembers steps, children and notes.
"""

from __future__ import annotations

import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from agent_worker.domain import events as ev
from agent_worker.domain.chat import ChatModel
from agent_worker.domain.definitions import StoredDefinition, UnknownDefinition
from agent_worker.domain.errors import LeaseLost, ProcessorError
from agent_worker.domain.events import Event
from agent_worker.domain.images import ImageMaker
from agent_worker.domain.json import JsonObject, JsonValue, dump_json
from agent_worker.domain.processor import Value
from agent_worker.domain.replay import (
    Call,
    Checkpoint,
    Parked,
    Question,
    as_stored,
    child_id,
    idempotency_key,
    recall,
)
from agent_worker.domain.task import Resume, Task
from agent_worker.llm.echo import EchoChat
from agent_worker.telemetry import task_logger

Answer = TypeVar("Answer")


def make_definition(slug: str, content: JsonObject, *, version: int = 1) -> StoredDefinition:
    """Return a definition as a worker would find it; all versions of a slug have the same id."""
    now = datetime.now(UTC)
    return StoredDefinition(
        id=uuid5(NAMESPACE_URL, f"definition:{slug}"),
        slug=slug,
        version=version,
        content=content,
        created_at=now,
        updated_at=now,
    )


def make_task(payload: JsonObject | None = None, *, kind: str = "test", attempt: int = 1) -> Task:
    """Return a task as a worker would claim it."""
    now = datetime.now(UTC)
    return Task(
        id=uuid4(),
        kind=kind,
        request_payload=payload or {},
        attempt=attempt,
        max_attempts=3,
        created_at=now,
        started_at=now,
    )


@dataclass(frozen=True, slots=True)
class SpawnedChild:
    """A child task that the processor asked for."""

    id: UUID
    key: str
    kind: str
    payload: JsonObject


class FakeContext:
    """A `TaskContext` in memory.

    Args:
        task: The attempt's task; made up when left out.
        models: Finds a chat model by id, as `Models.get` does; left out, every id answers as `echo/echo`.
        images: Makes pictures.
        human: Answers to `ask_human` by key; a `ProcessorError` is raised.
        client: Tool results for `ask_client` by key; a `ProcessorError` is raised.
        children: Response payloads for `wait`, by the child's key or kind; a `ProcessorError` is raised.
        definitions: What `definition` finds, in any number of versions.
        known: What earlier attempts remembered; changed in place.

    Attributes:
        events: What was emitted with `emit`, in order, marked with its step.
        deltas: What was emitted with `emit_text`, in order.
        notes: `(percent, note)` of each `progress`.
        spawned: Children asked for by this and earlier attempts, in order.
        questions: What the task parked on.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        models: Callable[[str | None], ChatModel] | None = None,
        images: ImageMaker | None = None,
        human: Mapping[str, JsonObject | ProcessorError] | None = None,
        client: Mapping[str, Sequence[JsonObject] | ProcessorError] | None = None,
        children: Mapping[str, JsonObject | ProcessorError] | None = None,
        definitions: Sequence[StoredDefinition] = (),
        known: dict[str, Checkpoint] | None = None,
    ) -> None:
        self.task = task or make_task()
        self.events: list[Event] = []
        self.deltas: list[str] = []
        self.notes: list[tuple[float, str]] = []
        self.spawned: list[SpawnedChild] = []
        self.questions: list[Question] = []
        self.checkpoint = FakeCheckpoints(self)
        self._known = {} if known is None else known
        self._models = models
        self.images = images
        self._definitions = tuple(definitions)
        self._human, self._client, self._children = human or {}, client or {}, children or {}
        self._deadline = time.monotonic() + 600
        self._step: contextvars.ContextVar[str | None] = contextvars.ContextVar("fake_step", default=None)
        self._unnamed = 0
        self._is_cancelled = False
        self._is_lost = False

    @property
    def text(self) -> str:
        """Everything streamed so far."""
        return "".join(self.deltas)

    def cancel(self) -> None:
        """Ask the processor to stop: `cancelled` turns true."""
        self._is_cancelled = True

    def lose_lease(self) -> None:
        """Let the task move on: `cancelled` turns true, and every write raises `LeaseLost`."""
        self._is_cancelled = self._is_lost = True

    def again(
        self,
        *,
        resume: Resume = Resume.ANSWERED,
        human: Mapping[str, JsonObject | ProcessorError] | None = None,
        client: Mapping[str, Sequence[JsonObject] | ProcessorError] | None = None,
        children: Mapping[str, JsonObject | ProcessorError] | None = None,
        definitions: Sequence[StoredDefinition] | None = None,
    ) -> FakeContext:
        """Return the context of the next attempt: the same task, memory and answers, and those given now."""
        ctx = FakeContext(
            self.task._replace(attempt=self.task.attempt + 1, resume=resume),
            models=self._models,
            images=self.images,
            human={**self._human, **(human or {})},
            client={**self._client, **(client or {})},
            children={**self._children, **(children or {})},
            definitions=self._definitions if definitions is None else definitions,
            known=self._known,
        )
        ctx.spawned = list(self.spawned)
        return ctx

    # The protocol

    @property
    def resume(self) -> Resume:
        """Why this attempt runs."""
        return self.task.resume

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` or `lose_lease` was called."""
        return self._is_cancelled

    @property
    def deadline(self) -> float:
        """Ten minutes after the context was made, on the clock of `time.monotonic()`."""
        return self._deadline

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A standard logger, for `caplog`."""
        return task_logger(self.task)

    def model(self, name: str | None = None) -> ChatModel:
        """Return what `models` finds, or the echo model."""
        return EchoChat() if self._models is None else self._models(name)

    async def definition(self, reference: str, version: int | None = None) -> StoredDefinition:
        """Return a given definition."""
        found = [
            each
            for each in self._definitions
            if reference in {each.slug, str(each.id)} and version in {None, each.version}
        ]
        if not found:
            raise UnknownDefinition(self.task.kind, reference, version)
        return max(found, key=lambda each: each.version)

    async def emit(self, event: Event) -> None:
        """Record an event."""
        self._check_lease()
        _ = dump_json(event.data)
        self.events.append(ev.with_step(event, self._step.get()))

    async def emit_text(self, delta: str) -> None:
        """Record a piece of text; an empty one is none."""
        self._check_lease()
        if delta:
            self.deltas.append(delta)

    async def progress(self, percent: float, note: str = "") -> None:
        """Record how far the task is."""
        self._check_lease()
        self.notes.append((percent, note))

    async def step(self, key: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        """Run `fn` unless this or an earlier attempt has; return its result as JSON would bring it back."""
        found = recall(self._known, key, Call.STEP)
        if found is not None:
            return found.value  # type: ignore[return-value]  # what fn returned, having gone through JSON
        token = self._step.set(key)
        try:
            value = await fn()
        finally:
            self._step.reset(token)
        return self.remember(Checkpoint(key, Call.STEP, value))  # type: ignore[return-value]  # as above

    def idempotency_key(self, key: str) -> str:
        """Return `task:key`."""
        return idempotency_key(self.task.id, key)

    async def spawn(self, kind: str, payload: JsonObject, *, key: str | None = None) -> UUID:
        """Record a child, once per key."""
        self._check_lease()
        if key is None:
            self._unnamed += 1
            key = f"spawn:{self._unnamed}"
        child = SpawnedChild(child_id(self.task.id, key), key, kind, payload)
        if recall(self._known, key, Call.SPAWN) is None:
            self.remember(Checkpoint(key, Call.SPAWN, str(child.id)))
            self.spawned.append(child)
        return child.id

    async def wait(self, child: UUID) -> JsonObject:
        """Return the child's scripted response, or park."""
        question = Question(key=f"wait:{child}", call=Call.CHILD, child_id=child)
        names = [name for known in self.spawned if known.id == child for name in (known.key, known.kind)]
        for name in names:
            if name in self._children:
                return self._answer(question, self._children[name])
        return self._park(question)

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
        """Return the scripted answer, or park."""
        fields: JsonObject = {
            "type": type,
            "title": title,
            "description": description,
            "form": form,
            "context": context,
            "priority": priority,
            "assignee": None if assignee is None else str(assignee),
        }
        question = Question(key=key, call=Call.HUMAN, fields=fields, timeout_s=timeout_s)
        return self._answer(question, self._human[key]) if key in self._human else self._park(question)

    async def ask_client(
        self, key: str, tool_calls: Sequence[JsonObject], *, timeout_s: float | None = 3_600
    ) -> Sequence[JsonObject]:
        """Return the scripted tool results, or park."""
        fields: JsonObject = {"context": {"toolCalls": list(tool_calls)}}
        question = Question(key=key, call=Call.CLIENT, fields=fields, timeout_s=timeout_s)
        return self._answer(question, self._client[key]) if key in self._client else self._park(question)

    # Underneath

    def recall(self, key: str, call: Call) -> Checkpoint | None:
        """Find what the task remembers.

        Raises:
            KeyReused: The key belongs to another kind of call.
        """
        return recall(self._known, key, call)

    def remember(self, checkpoint: Checkpoint) -> JsonValue:
        """Keep a checkpoint and return its value as every later attempt will read it.

        Raises:
            LeaseLost: `lose_lease` was called.
            Unstorable: The value has no JSON form.
        """
        self._check_lease()
        value = as_stored(checkpoint.key, checkpoint.value)
        self._known[checkpoint.key] = replace(checkpoint, value=value)
        return value

    def _answer(self, question: Question, answer: Answer | ProcessorError) -> Answer:
        self._check_lease()
        recall(self._known, question.key, question.call)
        self._known[question.key] = Checkpoint(question.key, question.call, None)
        if isinstance(answer, ProcessorError):
            raise answer
        return answer

    def _park(self, question: Question) -> NoReturn:
        self._check_lease()
        recall(self._known, question.key, question.call)
        self._known[question.key] = Checkpoint(question.key, question.call, None, is_done=False)
        self.questions.append(question)
        raise Parked(question)

    def _check_lease(self) -> None:
        if self._is_lost:
            raise LeaseLost("The task has moved on.")


class FakeCheckpoints:
    """`ctx.checkpoint` of a `FakeContext`."""

    def __init__(self, ctx: FakeContext) -> None:
        self._ctx = ctx

    async def get(self, key: str, default: JsonValue = None) -> JsonValue:
        """Return the value last put under `key`, by this or an earlier attempt."""
        found = self._ctx.recall(key, Call.VALUE)
        return default if found is None else found.value

    async def put(self, key: str, value: JsonValue) -> None:
        """Keep `value`."""
        self._ctx.recall(key, Call.VALUE)
        self._ctx.remember(Checkpoint(key, Call.VALUE, value))
