"""The context of a processor that runs in a process of its own: each call goes to the worker and waits for the reply."""

from __future__ import annotations

import contextvars
import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from agent_worker.domain.definitions import StoredDefinition
from agent_worker.domain.errors import LeaseLost, Unstorable
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, JsonValue, dump_json
from agent_worker.domain.replay import Parked, as_stored
from agent_worker.domain.task import Task
from agent_worker.worker.attempt import AttemptFacts
from agent_worker.worker.pool.wire import CALL, Reply, encode, restore

_step: contextvars.ContextVar[str | None] = contextvars.ContextVar("agent_worker_remote_step", default=None)


class Calls:
    """The calls of one job, from any of its threads.

    Args:
        job: Its number, which every call names.
        send: Sends a frame; may block, and so holds back a processor that speaks faster than can be written.
    """

    def __init__(self, job: int, send: Callable[[bytes, bytes], None]) -> None:
        self._job = job
        self._send = send
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, queue.SimpleQueue[Reply | None]] = {}
        self.has_ended = False

    def call(self, name: str, **arguments: JsonValue) -> JsonValue:
        """Have the worker do something and return what comes of it.

        Raises:
            LeaseLost: The job has ended or been stopped.
            Unstorable: An argument has no JSON form.
            Parked: The attempt has to end and wait for an answer.
            Exception: Whatever the worker's side raised.
        """
        number = next(self._numbers)
        call: JsonObject = {
            "job": self._job,
            "call": number,
            "name": name,
            "arguments": arguments,
            "step": _step.get(),
        }
        try:
            body = encode(call)
        except (ValueError, TypeError) as exc:
            raise Unstorable(str(exc)) from exc
        reply_box: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        with self._lock:
            if self.has_ended:
                raise _ended()
            self._waiting[number] = reply_box
        self._send(CALL, body)
        reply = reply_box.get()
        if reply is None:
            raise _ended()
        if reply.question is not None:
            raise Parked(reply.question)
        if reply.error is not None:
            raise restore(reply.error)
        return reply.value

    def settle(self, reply: Reply) -> None:
        """Hand a reply to whoever waits for it; called by the listening thread."""
        with self._lock:
            reply_box = self._waiting.pop(reply.call, None)
        if reply_box is not None:
            reply_box.put(reply)

    def end(self) -> None:
        """From now on every call raises LeaseLost, those under way too."""
        with self._lock:
            self.has_ended = True
            reply_boxes, self._waiting = list(self._waiting.values()), {}
        for reply_box in reply_boxes:
            reply_box.put(None)


class RemoteTaskContext(AttemptFacts):
    """`SyncTaskContext` at the far end of the socket."""

    def __init__(self, task: Task, deadline: float, calls: Calls) -> None:
        super().__init__(task, deadline)
        self._calls = calls
        self.checkpoint = RemoteTaskContext._Notes(calls)

    class _Notes:
        """`ctx.checkpoint`."""

        def __init__(self, calls: Calls) -> None:
            self._calls = calls

        def get(self, key: str, default: JsonValue = None) -> JsonValue:
            """Return the value last put under `key`."""
            found = self._calls.call("get", key=key)
            return found["value"] if isinstance(found, dict) else default

        def put(self, key: str, value: JsonValue) -> None:
            """Store `value` durably before returning."""
            self._calls.call("put", key=key, value=as_stored(key, value))

    @property
    def cancelled(self) -> bool:
        """Whether to stop: who does not within half a second is killed."""
        return self._calls.has_ended or time.monotonic() >= self._deadline

    def emit(self, event: Event) -> None:
        """Add an event to the task's stream."""
        _ = dump_json(event.data)  # fails here as it does in a thread, with a plain ValueError or TypeError
        self._calls.call("emit", type=event.type, data=event.data)

    def emit_text(self, delta: str) -> None:
        """Stream a piece of text."""
        self._calls.call("emit_text", delta=delta)

    def progress(self, percent: float, note: str = "") -> None:
        """Show how far the task is."""
        self._calls.call("progress", percent=percent, note=note)

    def step(self, key: str, fn: Callable[[], JsonValue]) -> JsonValue:
        """Run `fn`, here, once in the life of the task; ever after return its stored result."""
        found = self._calls.call("finished_step", key=key)
        if isinstance(found, dict):
            stored: JsonValue = found["value"]
            return stored
        token = _step.set(key)
        try:
            result = fn()
        finally:
            _step.reset(token)
        value = as_stored(key, result)
        self._calls.call("finish_step", key=key, value=value)
        return value

    def definition(self, reference: str, version: int | None = None) -> StoredDefinition:
        """Return a stored definition of the task's own kind."""
        written = self._calls.call("definition", reference=reference, version=version)
        return StoredDefinition.read(written)  # type: ignore[arg-type]  # written by the other end: an object

    def spawn(self, kind: str, payload: JsonObject, *, key: str | None = None) -> UUID:
        """Insert a child task once and return its id."""
        return UUID(str(self._calls.call("spawn", kind=kind, payload=payload, key=key)))

    def wait(self, child: UUID) -> JsonObject:
        """Return a child's response payload, parking this task until the child has ended."""
        return self._calls.call("wait", child=str(child))  # type: ignore[return-value]  # a response payload is an object

    def ask_human(self, key: str, title: str, **question: Any) -> JsonObject:
        """Ask a person; the arguments of `TaskContext.ask_human`."""
        if question.get("assignee") is not None:
            question["assignee"] = str(question["assignee"])
        return self._calls.call("ask_human", key=key, title=title, question=question)  # type: ignore[return-value]  # checked by the table: an object

    def ask_client(
        self, key: str, tool_calls: Sequence[JsonObject], *, timeout_s: float | None = 3_600
    ) -> Sequence[JsonObject]:
        """Have the client run tools; the arguments of `TaskContext.ask_client`."""
        return self._calls.call("ask_client", key=key, tool_calls=list(tool_calls), timeout_s=timeout_s)  # type: ignore[return-value]  # checked by the other end: a list of objects


def _ended() -> LeaseLost:
    return LeaseLost("the attempt has ended; nothing it does counts any more")
