"""`client.workers`, for code without an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from typing import Any, Protocol, TypeVar, Unpack
from uuid import UUID

from agent_worker.client.columns import TaskColumns
from agent_worker.client.handlers import ToolHandlers
from agent_worker.client.run import StreamEvent
from agent_worker.client.workers import Generated, Workers
from agent_worker.domain.json import JsonObject

Value = TypeVar("Value")


class Do(Protocol):
    """Runs a call on the client's event loop, to its end."""

    def __call__(self, call: Coroutine[Any, Any, Value]) -> Value:
        """Return its result."""
        ...


class Each(Protocol):
    """Runs a generator on the client's event loop, step by step; closing the iterator closes it."""

    def __call__(self, items: AsyncGenerator[Value, None]) -> Iterator[Value]:
        """Yield what it yields."""
        ...


class SyncWorkers:
    """`Workers` with plain iterators; to stop a run, close its iterator.

    Functions of `tools` run in threads, async ones on the client's own event loop.
    """

    def __init__(self, workers: Workers, *, do: Do, each: Each) -> None:
        self._workers = workers
        self._do = do
        self._each = each

    def execute(
        self,
        agent_id: str | UUID,
        input: JsonObject,  # noqa: A002 - the protocol's word
        *,
        tools: ToolHandlers | None = None,
        **columns: Unpack[TaskColumns],
    ) -> Iterator[StreamEvent]:
        """See `Workers.execute`."""
        return self._each(self._workers.execute(agent_id, input, tools=tools, **columns))

    def continue_(
        self,
        agent_id: str | UUID,
        execution_id: str | UUID,
        tool_results: Sequence[JsonObject],
        *,
        tools: ToolHandlers | None = None,
    ) -> Iterator[StreamEvent]:
        """See `Workers.continue_`."""
        return self._each(self._workers.continue_(agent_id, execution_id, tool_results, tools=tools))

    def generate(
        self,
        agent_id: str | UUID,
        input: JsonObject,  # noqa: A002 - as above
        *,
        tools: ToolHandlers | None = None,
        **columns: Unpack[TaskColumns],
    ) -> Generated:
        """See `Workers.generate`."""
        return self._do(self._workers.generate(agent_id, input, tools=tools, **columns))
