"""The client, for code without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Self, TypeVar, Unpack
from uuid import UUID

from agent_worker.client.async_client import AsyncClient
from agent_worker.client.columns import TaskColumns
from agent_worker.client.sync_workers import SyncWorkers
from agent_worker.client.task_client import database_url_from_env
from agent_worker.client.text import TextPiece
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import Question, TaskEvent, TaskResult
from agent_worker.domain.task import TaskStatus

Value = TypeVar("Value")


class Client:
    """`AsyncClient` on an event loop in a thread of its own; its methods, arguments and errors are the same.

    Safe for any number of threads. Ctrl-C ends a wait and leaves the task alone.

    ```python
    with Client.from_env() as client:
        print(client.run("Say hello.").answer)
    ```
    """

    def __init__(
        self, database_url: str, *, pool_size: int = 4, poll_s: float = 2.0, patience_s: float = 15.0
    ) -> None:
        self._client = AsyncClient(database_url, pool_size=pool_size, poll_s=poll_s, patience_s=patience_s)
        self._closing = threading.Lock()
        self._stop = asyncio.Event()
        ready: Future[asyncio.AbstractEventLoop] = Future()
        # A daemon, so that a client nobody closed does not keep the program from ending.
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(ready)), name="agent-worker-client", daemon=True
        )
        self._thread.start()
        self._loop: asyncio.AbstractEventLoop | None = ready.result()
        self.workers = SyncWorkers(self._client.workers, do=self._do, each=self._each)

    @classmethod
    def from_env(cls) -> Self:
        """Make a client of DATABASE_URL.

        Raises:
            ConfigurationError: DATABASE_URL is not set, or malformed.
        """
        return cls(database_url_from_env())

    def __enter__(self) -> Self:
        """Connect, so that a wrong address is told here and not by the first call."""
        try:
            self._do(self._client.__aenter__())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread; twice is fine. Calls of other threads raise RuntimeError."""
        with self._closing:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def submit(self, prompt_or_payload: str | JsonObject, **columns: Unpack[TaskColumns]) -> UUID:
        """See `AsyncClient.submit`."""
        return self._do(self._client.submit(prompt_or_payload, **columns))

    def submit_many(
        self, prompts_or_payloads: Sequence[str | JsonObject], **columns: Unpack[TaskColumns]
    ) -> list[UUID]:
        """See `AsyncClient.submit_many`."""
        return self._do(self._client.submit_many(prompts_or_payloads, **columns))

    def run(
        self,
        prompt_or_payload: str | JsonObject,
        *,
        wait_s: float | None = None,
        **columns: Unpack[TaskColumns],
    ) -> TaskResult:
        """See `AsyncClient.run`."""
        return self._do(self._client.run(prompt_or_payload, wait_s=wait_s, **columns))

    def look(self, task_id: UUID) -> TaskResult:
        """See `AsyncClient.look`."""
        return self._do(self._client.look(task_id))

    def wait(self, task_id: UUID, *, timeout_s: float | None = None) -> TaskResult:
        """See `AsyncClient.wait`."""
        return self._do(self._client.wait(task_id, timeout_s=timeout_s))

    def stream(
        self, task_id: UUID, *, after_seq: int = 0, timeout_s: float | None = None
    ) -> Iterator[TaskEvent]:
        """See `AsyncClient.stream`."""
        return self._each(self._client.stream(task_id, after_seq=after_seq, timeout_s=timeout_s))

    def stream_text(self, task_id: UUID, *, timeout_s: float | None = None) -> Iterator[TextPiece]:
        """See `AsyncClient.stream_text`."""
        return self._each(self._client.stream_text(task_id, timeout_s=timeout_s))

    def cancel(self, task_id: UUID) -> TaskStatus:
        """See `AsyncClient.cancel`."""
        return self._do(self._client.cancel(task_id))

    def questions(self, task_id: UUID) -> list[Question]:
        """See `AsyncClient.questions`."""
        return self._do(self._client.questions(task_id))

    def answer(self, question_id: UUID, response: JsonObject) -> Question:
        """See `AsyncClient.answer`."""
        return self._do(self._client.answer(question_id, response))

    async def _live(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        ready.set_result(asyncio.get_running_loop())
        await self._stop.wait()
        await self._client.close()

    def _do(self, call: Coroutine[Any, Any, Value]) -> Value:
        loop = self._loop
        if loop is None:
            call.close()
            raise RuntimeError("this client is closed")
        future = asyncio.run_coroutine_threadsafe(call, loop)
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("this client was closed while the call ran") from None
        finally:
            future.cancel()  # nothing to a finished call; ends one that Ctrl-C interrupted

    def _each(self, items: AsyncGenerator[Value, None]) -> Iterator[Value]:
        # An interrupted step may still be ending when the generator is closed: one after the other.
        turn = asyncio.Lock()

        async def step() -> list[Value]:
            async with turn:
                async for item in items:
                    return [item]
                return []

        async def close() -> None:
            async with turn:
                await items.aclose()

        try:
            while found := self._do(step()):
                yield found[0]
        finally:
            if self._loop is not None:
                self._do(close())
