"""One run of a pipeline, as one iterator hears it: legs, the tools between them, and a signal that stops it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from uuid import UUID

from agent_worker.client.handlers import ToolHandlers, run_handlers
from agent_worker.client.task_client import TaskClient
from agent_worker.domain.client_errors import TaskFailed
from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.telling.legs import Legs

StreamEvent: TypeAlias = JsonObject
"""An event of the worker protocol: a dict with its `type`, such as `{"type": "text-delta", "id": …, "delta": …}`."""

Answer: TypeAlias = Callable[[str | None, UUID, Sequence[JsonObject]], Awaitable[int]]
"""Answers a run, of the agent if one is named, with results of tools; returns the event before the next leg."""

Value = TypeVar("Value")


class _Stopped(Exception):
    """The signal was set."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run, as one iterator hears it.

    Attributes:
        is_settled: It needs nobody to listen any more: it has a result, has failed, or waits for client tools.
        has_ended: The stream's last word was said.
    """

    client: TaskClient
    answer: Answer
    task_id: UUID
    tools: ToolHandlers
    signal: asyncio.Event | None
    legs: Legs = field(init=False)
    is_settled: bool = False
    has_ended: bool = False

    def __post_init__(self) -> None:
        self.legs = Legs(str(self.task_id), "server")

    @property
    def is_stopped(self) -> bool:
        """Whether the signal is set."""
        return self.signal is not None and self.signal.is_set()

    def stopped(self) -> StreamEvent:
        """Return the event that ends a stream that was stopped."""
        return {"type": "finish", "finishReason": "stop", "executionId": str(self.task_id)}

    async def hear(
        self, *, after_seq: int = 0, start: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the stream from after an event on; it is read from the first one, to know what is open."""
        try:
            if start is not None:
                await start()
            async with contextlib.aclosing(self._heard(after_seq)) as events:
                async for event in events:
                    self._note(event)
                    yield event
        except _Stopped:
            if not self.is_settled:
                await self.client.cancel(self.task_id)
            if not self.has_ended:
                yield self.stopped()
        except (GeneratorExit, asyncio.CancelledError):
            if not self.is_settled:
                # The client may be closed, and the run gone or not yet there.
                with contextlib.suppress(AgentWorkerError, RuntimeError):
                    await self.client.cancel(self.task_id)
            raise

    def _note(self, event: StreamEvent) -> None:
        is_result = event["type"] == "worker-result" and event.get("workerId") == str(self.task_id)
        is_asked = event["type"] == "client-tool-request"
        self.has_ended = self.has_ended or event["type"] in {"finish", "error"}
        self.is_settled = self.is_settled or self.has_ended or is_result or is_asked

    async def _heard(self, after_seq: int) -> AsyncGenerator[StreamEvent, None]:
        asked: JsonValue = None
        async with contextlib.aclosing(self._told(after_seq)) as events:
            while (event := await self._unless_stopped(anext(events, None))) is not None:
                if event["type"] == "tool-request":
                    asked = event["toolCalls"]
                    continue
                if asked is None or event["type"] != "finish":
                    yield event
                    continue
                ours, theirs = self._split(asked)
                results = await self._unless_stopped(run_handlers(self.tools, ours))
                if theirs:
                    for each in self._ask(theirs, results):
                        yield each
                    return
                await self.answer(None, self.task_id, results)
                asked = None

    async def _told(self, after_seq: int) -> AsyncGenerator[StreamEvent, None]:
        """Yield what the run says to a server, leg after leg, to the end of the run."""
        status, response = TaskStatus.COMPLETED, None
        try:
            async with contextlib.aclosing(self.client.stream(self.task_id)) as events:
                async for event in events:
                    for each in self._feed(event, after_seq):
                        yield each
        except TaskFailed as failed:
            status, response = failed.result.status, failed.result.response
        for each in self.legs.end(status, response or {}):
            yield each

    def _feed(self, event: TaskEvent, after_seq: int) -> list[StreamEvent]:
        told = self.legs.feed(event)
        return told if event.seq > after_seq else []

    def _split(self, asked: JsonValue) -> tuple[list[JsonObject], list[JsonObject]]:
        calls = [call for call in asked if isinstance(call, Mapping)] if isinstance(asked, list) else []
        ours = [call for call in calls if call.get("toolName") in self.tools]
        return ours, [call for call in calls if call not in ours]

    def _ask(self, calls: list[JsonObject], results: list[JsonObject]) -> list[StreamEvent]:
        named = {"executionId": str(self.task_id)}
        request: StreamEvent = {"type": "client-tool-request", **named, "toolCalls": calls}
        if results:
            request = {**request, "serverToolResults": results}
        return [request, {"type": "finish", "finishReason": "client-tool-calls", **named}]

    async def _unless_stopped(self, call: Awaitable[Value]) -> Value:
        """Await a call, unless the signal is set before it has ended.

        Raises:
            _Stopped: It was.
        """
        if self.signal is None:
            return await call
        working = asyncio.ensure_future(call)
        stopping = asyncio.ensure_future(self.signal.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self.signal.is_set():
                return working.result()
            raise _Stopped
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
