"""Run a blocking processor in a thread of its own, with a context it can call without `await`.

A thread cannot be stopped from outside: when its attempt is cancelled or times out, the worker goes on without it,
`ctx.cancelled` turns true and every call of the context raises `LeaseLost`. Threads are daemons, so one that hangs
for ever does not keep the process from ending. What has to stop for certain runs in a process: see `agent_worker.worker.pool`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from uuid import UUID

from agent_worker.domain.definitions import StoredDefinition
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import Resume, Task
from agent_worker.worker.context import LiveContext

Result = TypeVar("Result")


async def run_in_thread(
    process: Callable[[Task, SyncTaskContext], JsonObject], task: Task, ctx: LiveContext
) -> JsonObject:
    """Call `process` in a new thread and return what it returns; cancelling stops the waiting, not the thread."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[JsonObject] = loop.create_future()
    sync_ctx = SyncTaskContext(ctx, loop)

    def settle(result: JsonObject, error: BaseException | None) -> None:
        if done.done():
            return
        if isinstance(error, StopIteration):  # no future carries it
            raised = RuntimeError("StopIteration")
            raised.__cause__ = error
            done.set_exception(raised)
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)

    def body() -> None:
        result: JsonObject = {}
        error: BaseException | None = None
        try:
            result = process(task, sync_ctx)
        except BaseException as exc:  # noqa: BLE001 - carried to the executor, which decides; Parked is no Exception
            error = exc
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(body,), name=f"task-{task.id}", daemon=True).start()
    return await done


class SyncTaskContext:
    """`TaskContext` for a blocking `process`: the same methods, which block instead of being awaited."""

    def __init__(self, ctx: LiveContext, loop: asyncio.AbstractEventLoop) -> None:
        self._ctx = ctx
        self._loop = loop
        self.checkpoint = SyncTaskContext._Notes(self)

    class _Notes:
        """`ctx.checkpoint`."""

        def __init__(self, outer: SyncTaskContext) -> None:
            self._outer = outer

        def get(self, key: str, default: JsonValue = None) -> JsonValue:
            """Return the value last put under `key`."""
            return self._outer._call(self._outer._ctx.checkpoint.get(key, default))  # noqa: SLF001

        def put(self, key: str, value: JsonValue) -> None:
            """Store `value` durably before returning."""
            self._outer._call(self._outer._ctx.checkpoint.put(key, value))  # noqa: SLF001

    @property
    def resume(self) -> Resume:
        """Why this attempt runs."""
        return self._ctx.resume

    @property
    def cancelled(self) -> bool:
        """Whether to stop: look at it now and then."""
        return self._ctx.cancelled

    @property
    def deadline(self) -> float:
        """When the attempt times out, on the clock of `time.monotonic()`."""
        return self._ctx.deadline

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A standard logger whose records carry task_id, kind and attempt."""
        return self._ctx.logger

    def idempotency_key(self, key: str) -> str:
        """Return `task:key`, the same for every run of the step."""
        return self._ctx.idempotency_key(key)

    def emit(self, event: Event) -> None:
        """Add an event to the task's stream."""
        self._call(self._ctx.emit(event))

    def emit_text(self, delta: str) -> None:
        """Stream a piece of text."""
        self._call(self._ctx.emit_text(delta))

    def progress(self, percent: float, note: str = "") -> None:
        """Show how far the task is."""
        self._call(self._ctx.progress(percent, note))

    def step(self, key: str, fn: Callable[[], JsonValue]) -> JsonValue:
        """Run `fn` once in the life of the task, in a thread; ever after return its stored result."""

        async def call() -> JsonValue:
            return await asyncio.to_thread(fn)

        return self._call(self._ctx.step(key, call))

    def definition(self, reference: str, version: int | None = None) -> StoredDefinition:
        """Return a stored definition of the task's own kind."""
        return self._call(self._ctx.definition(reference, version))

    def spawn(self, kind: str, payload: JsonObject, *, key: str | None = None) -> UUID:
        """Insert a child task once and return its id."""
        return self._call(self._ctx.spawn(kind, payload, key=key))

    def wait(self, child: UUID) -> JsonObject:
        """Return a child's response payload, parking this task until the child has ended."""
        return self._call(self._ctx.wait(child))

    def ask_human(self, key: str, title: str, **question: Any) -> JsonObject:
        """Ask a person; the arguments of `TaskContext.ask_human`."""
        return self._call(self._ctx.ask_human(key, title, **question))

    def ask_client(
        self, key: str, tool_calls: Sequence[JsonObject], *, timeout_s: float | None = 3_600
    ) -> Sequence[JsonObject]:
        """Have the client run tools; the arguments of `TaskContext.ask_client`."""
        return self._call(self._ctx.ask_client(key, tool_calls, timeout_s=timeout_s))

    def _call(self, call: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()
