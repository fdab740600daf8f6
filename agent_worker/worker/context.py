"""What a processor holds while it runs a task: the live side of `TaskContext`."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from uuid import UUID

from agent_worker.db.definitions import Definitions
from agent_worker.db.queue import Spawned
from agent_worker.domain import events as ev
from agent_worker.domain.chat import ChatModel
from agent_worker.domain.definitions import StoredDefinition, UnknownDefinition
from agent_worker.domain.errors import LeaseLost, ProcessorError
from agent_worker.domain.events import Event
from agent_worker.domain.images import ImageMaker
from agent_worker.domain.json import JsonObject, JsonValue, dump_json
from agent_worker.domain.processor import Value
from agent_worker.domain.replay import Call, Checkpoint, Parked, Question, child_id, recall, stored_text
from agent_worker.domain.task import Lease, Resume, Task
from agent_worker.worker.attempt import AttemptFacts
from agent_worker.worker.recorder import Recorder

_step: contextvars.ContextVar[str | None] = contextvars.ContextVar("agent_worker_step", default=None)

_LARGE = 256 * 1024

APPROVAL_FORM: JsonObject = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "note": {"type": "string"}},
    "required": ["approved"],
}


class LiveContext(AttemptFacts):
    """One attempt's `TaskContext`.

    Args:
        task: The claimed task.
        lease: What its writes name.
        recorder: Where its writes go.
        models: Finds a chat model by id.
        images: Makes pictures.
        definitions: Stored definitions of the task's kind.
        known: What the task remembers from before; changed in place as it learns more.
        last_seq: Number of the task's last event so far.
        deadline: When the attempt times out, on the clock of `time.monotonic()`.
    """

    def __init__(
        self,
        task: Task,
        *,
        lease: Lease,
        recorder: Recorder,
        models: Callable[[str | None], ChatModel],
        images: ImageMaker | None,
        definitions: Definitions,
        known: dict[str, Checkpoint],
        last_seq: int,
        deadline: float,
    ) -> None:
        super().__init__(task, deadline)
        self._lease = lease
        self._recorder = recorder
        self._models = models
        self._images = images
        self._definitions = definitions
        self._known = known
        self._spawned = 0
        self._texts = 0
        self._open_text: tuple[str, str | None] | None = None
        self._is_open = True
        self._last_type: str | None = None
        self._last_seq = last_seq
        if task.resume is not Resume.FRESH:
            self._say_attempt_start()

    @property
    def cancelled(self) -> bool:
        """Whether the task should stop."""
        return not self._is_open or time.monotonic() >= self._deadline

    @property
    def checkpoint(self) -> LiveContext._Notes:
        """Durable notes by key."""
        return LiveContext._Notes(self)

    def model(self, name: str | None = None) -> ChatModel:
        """Return a chat model by its id."""
        return self._models(name)

    @property
    def images(self) -> ImageMaker | None:
        """Makes pictures, where a provider of them is set up."""
        return self._images

    async def definition(self, reference: str, version: int | None = None) -> StoredDefinition:
        """Return a stored definition of the task's own kind."""
        self._check_open()
        found = await self._definitions.find(reference, version)
        if found is None:
            raise UnknownDefinition(self._task.kind, reference, version)
        return found

    # Speaking

    async def emit(self, event: Event) -> None:
        """Add an event to the task's stream."""
        _require("emit", event, Event)
        await self._recorder.room()
        # A value without a JSON form fails here, where the processor's own line is on the stack.
        await _breathe(dump_json(event.data))
        self._check_open()
        self._end_text()
        self._say(event)

    async def emit_text(self, delta: str) -> None:
        """Stream a piece of text."""
        _require("emit_text", delta, str)
        if not delta:
            return
        await self._recorder.room()
        self._check_open()
        step = _step.get()
        if self._open_text is None or self._open_text[1] != step:
            self._end_text()
            self._texts += 1
            text_id = f"t{self._task.attempt}.{self._texts}"
            self._say(ev.text_start(text_id))
            self._open_text = (text_id, step)
        self._recorder.emit_text(self._lease, self._open_text[0], delta, step)
        self._last_type = ev.TEXT_DELTA

    async def progress(self, percent: float, note: str = "") -> None:
        """Show how far the task is."""
        _require("progress", percent, int, float)
        _require("progress", note, str)
        if math.isnan(percent):
            raise ValueError("progress takes a number of percent, not NaN")
        self._check_open()
        self._recorder.progress(self._lease, {"percent": min(max(percent, 0.0), 100.0), "note": note})

    # Remembering

    class _Notes:
        """`ctx.checkpoint`."""

        def __init__(self, ctx: LiveContext) -> None:
            self._ctx = ctx

        async def get(self, key: str, default: JsonValue = None) -> JsonValue:
            """Return the value last put under `key`."""
            found = recall(self._ctx._known, key, Call.VALUE)  # noqa: SLF001 - one class in two parts
            return default if found is None else found.value

        async def put(self, key: str, value: JsonValue) -> None:
            """Store `value` durably before returning."""
            recall(self._ctx._known, key, Call.VALUE)  # noqa: SLF001
            await self._ctx._remember(Checkpoint(key, Call.VALUE, value))  # noqa: SLF001

    async def step(self, key: str, fn: Callable[[], Awaitable[Value]]) -> Value:
        """Run `fn` once in the life of the task; ever after return its stored result."""
        found = self.finished_step(key)
        if found is not None:
            return found.value  # type: ignore[return-value]  # what fn returned, having gone through JSON
        with self.inside_step(key):
            value = await fn()
        return await self.finish_step(key, value)  # type: ignore[return-value]  # as above

    # The parts of a step, for a processor whose `fn` runs in another process

    def finished_step(self, key: str) -> Checkpoint | None:
        """Return what a step left, or None while it has to be run."""
        return recall(self._known, key, Call.STEP)

    @contextlib.contextmanager
    def inside_step(self, key: str | None) -> Iterator[None]:
        """Mark what is said in this block as said by a step; None: by none."""
        token = _step.set(key)
        try:
            yield
        finally:
            _step.reset(token)

    async def finish_step(self, key: str, value: JsonValue) -> JsonValue:
        """Store a step's result and return it as every later attempt will read it."""
        self._end_text()
        return await self._remember(Checkpoint(key, Call.STEP, value))

    # Children and questions

    async def spawn(self, kind: str, payload: JsonObject, *, key: str | None = None) -> UUID:
        """Insert a child task once and return its id."""
        self._check_open()
        if key is None:
            self._spawned += 1
            key = f"spawn:{self._spawned}"
        child = child_id(self._task.id, key)
        if recall(self._known, key, Call.SPAWN) is None:
            _require("spawn", kind, str)
            await _breathe(dump_json(payload))  # fails here, as in emit
            await self._recorder.spawn(Spawned(self._lease, key, child, kind, payload))
            self._known[key] = Checkpoint(key, Call.SPAWN, str(child))
        return child

    async def wait(self, child: UUID) -> JsonObject:
        """Return a child's response payload, parking this task until the child has ended."""
        outcome = self._answer(Question(key=f"wait:{child}", call=Call.CHILD, child_id=child))
        response = outcome["response"]
        if outcome["status"] == "completed":
            return response  # type: ignore[return-value]  # a response payload is an object
        reason = response.get("error") if isinstance(response, dict) else None
        raise ProcessorError(
            f"The child task {child} {outcome['status']}: {reason or 'no reason given'}",
            code="child_failed",
            retryable=False,
        )

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
        """Ask a person and return the response, parking this task until it comes."""
        fields: JsonObject = {
            "type": type,
            "title": title,
            "description": description,
            "form": APPROVAL_FORM if form is None else form,
            "context": context or {},
            "priority": priority,
            "assignee": None if assignee is None else str(assignee),
        }
        question = Question(key=key, call=Call.HUMAN, fields=fields, timeout_s=timeout_s)
        request = ev.human_request(key=key, kind=type, title=title, description=description, form=form)
        return self._response(question, (request,), late="human_timeout", withdrawn="human_cancelled")

    async def ask_client(
        self, key: str, tool_calls: Sequence[JsonObject], *, timeout_s: float | None = 3_600
    ) -> Sequence[JsonObject]:
        """Have the client run tools and return their results, parking this task until they come."""
        execution_id = str(self._task.id)
        fields: JsonObject = {
            "type": "client_tool",
            "title": "Run tools in the client",
            "description": "",
            "form": {
                "type": "object",
                "required": ["toolResults"],
                "properties": {"toolResults": {"type": "array"}},
            },
            "context": {"toolCalls": list(tool_calls)},
            "priority": "medium",
            "assignee": None,
        }
        question = Question(key=key, call=Call.CLIENT, fields=fields, timeout_s=timeout_s)
        request = ev.client_tool_request(execution_id, tool_calls)
        response = self._response(
            question,
            (request, ev.finish("client-tool-calls", execution_id)),
            late="client_timeout",
            withdrawn="client_cancelled",
        )
        results = response.get("toolResults")
        if not isinstance(results, list):
            raise ProcessorError(
                f"The answer to {key!r} has no list `toolResults`.", code="invalid_answer", retryable=False
            )
        return results

    def _response(
        self, question: Question, says: Sequence[Event], *, late: str, withdrawn: str
    ) -> JsonObject:
        outcome = self._answer(question, says)
        match outcome["status"]:
            case "completed":
                return outcome["response"]  # type: ignore[return-value]  # checked by the table: an object
            case "expired":
                raise ProcessorError(f"Nobody answered {question.key!r} in time.", code=late, retryable=False)
            case _:
                raise ProcessorError(
                    f"The question {question.key!r} was withdrawn.", code=withdrawn, retryable=False
                )

    def _answer(self, question: Question, says: Sequence[Event] = ()) -> dict[str, JsonValue]:
        """Return the stored answer, or end the attempt to wait for it; ask aloud only the first time."""
        self._check_open()
        found = recall(self._known, question.key, question.call)
        if found is not None and found.is_done and isinstance(found.value, dict):
            return found.value
        if found is None:
            _ = dump_json(question.fields)  # fails here, as in emit
            self._end_text()
            for event in says:
                self._say(event)
        raise Parked(question)

    # Ending

    def close(self) -> None:
        """End the attempt's voice: whoever still holds this context gets LeaseLost from now on."""
        self._is_open = False

    def say_last(self, *last: Event) -> None:
        """Close open text and add the engine's closing events; for the executor, after the processor has ended."""
        self._end_text()
        for event in last:
            self._say(event)

    @property
    def has_spoken(self) -> bool:
        """Whether the attempt's stream holds anything, so that it needs a closing event."""
        return self._last_type is not None

    @property
    def has_finished_stream(self) -> bool:
        """Whether the processor closed its stream itself."""
        return self._last_type in {ev.FINISH, ev.USAGE, ev.ERROR}

    def _say(self, event: Event) -> None:
        if self._last_type is None:
            self._say_attempt_start()
        self._recorder.emit(self._lease, event, _step.get())
        self._last_type = event.type

    def _say_attempt_start(self) -> None:
        self._recorder.open(self._lease, self._last_seq)
        finished = [known.key for known in self._known.values() if known.call is Call.STEP]
        event = ev.attempt_start(attempt=self._task.attempt, resume=self._task.resume.value, keep=finished)
        self._recorder.emit(self._lease, event)
        self._last_type = ev.ATTEMPT_START

    def _end_text(self) -> None:
        if self._open_text is None:
            return
        text_id, step = self._open_text
        self._open_text = None
        self._recorder.emit(self._lease, ev.text_end(text_id), step)
        self._last_type = ev.TEXT_END

    async def _remember(self, checkpoint: Checkpoint) -> JsonValue:
        """Store a checkpoint and return its value as every later attempt will read it."""
        self._check_open()
        text = stored_text(checkpoint.key, checkpoint.value)
        await _breathe(text)
        await self._recorder.checkpoint(self._lease, dataclasses.replace(checkpoint, text=text))
        value: JsonValue = json.loads(text)
        self._known[checkpoint.key] = dataclasses.replace(checkpoint, value=value)
        return value

    def _check_open(self) -> None:
        if not self._is_open:
            raise LeaseLost("the attempt has ended; nothing it does counts any more")


def _require(method: str, value: object, *types: type) -> None:
    """Refuse at the processor's own line what a batch of many tasks could not be written with."""
    if not isinstance(value, types):
        raise TypeError(
            f"{method} takes {' or '.join(each.__name__ for each in types)}, not {type(value).__name__}"
        )


async def _breathe(text: str) -> None:
    """Let others have their turn between two works on a large text; each takes some 10 ms per MiB."""
    if len(text) > _LARGE:
        await asyncio.sleep(0)
