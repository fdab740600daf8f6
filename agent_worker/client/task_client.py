"""The calls of the client that are about tasks, as coroutines; what runs pipelines stands on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Self, TypeVar, Unpack
from uuid import UUID, uuid4

from agent_worker.client.columns import TaskColumns, new_task
from agent_worker.client.text import Text, TextPiece
from agent_worker.db.connection import Database
from agent_worker.db.following import Followers
from agent_worker.db.patience import patiently
from agent_worker.db.questions import Questions
from agent_worker.db.tasks import Following, Tasks
from agent_worker.domain.client_errors import (
    DuplicateTask,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    WaitTimeout,
)
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import Question, TaskEvent, TaskResult
from agent_worker.domain.task import TaskStatus

Value = TypeVar("Value")


def database_url_from_env() -> str:
    """Return DATABASE_URL.

    Raises:
        ConfigurationError: It is not set.
    """
    url = os.environ.get("DATABASE_URL")
    if not url:
        raise ConfigurationError(
            "DATABASE_URL is not set · it says where the tasks are · "
            "set it to postgresql://user:password@host:5432/database"
        )
    return url


class TaskClient:
    """Submits tasks, waits for them and follows their streams; `AsyncClient` tells what it is made with."""

    def __init__(
        self, database_url: str, *, pool_size: int = 4, poll_s: float = 2.0, patience_s: float = 15.0
    ) -> None:
        self._db = Database(database_url, max_size=pool_size)
        self._tasks = Tasks(self._db)
        self._questions = Questions(self._db)
        self._followers = Followers(self._db, poll_s=poll_s)
        self._patience_s = patience_s
        self._opening = asyncio.Lock()
        self._is_open = False
        self._is_closed = False

    @classmethod
    def from_env(cls) -> Self:
        """Make a client of DATABASE_URL.

        Raises:
            ConfigurationError: DATABASE_URL is not set, or malformed.
        """
        return cls(database_url_from_env())

    async def __aenter__(self) -> Self:
        """Connect, so that a wrong address is told here and not by the first call."""
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; twice is fine. Calls that still wait raise RuntimeError."""
        self._is_closed = True
        self._followers.call_all()
        await self._followers.stop()
        await self._db.close()

    @property
    def is_listening(self) -> bool:
        """Whether notifications arrive. Waits work without them too, up to `poll_s` later."""
        return self._followers.is_connected

    async def submit(self, prompt_or_payload: str | JsonObject, **columns: Unpack[TaskColumns]) -> UUID:
        """Insert a task and return its id.

        A cut connection does not insert it twice: the id is chosen here.

        Args:
            prompt_or_payload: The input; a string is short for `{"prompt": string}`.
            columns: See `agent_worker.domain.records.NewTask`; `kind` is "chat" unless it says otherwise.

        Raises:
            DuplicateTask: An unfinished task has this dedupe_key; its id is in `task_id`.
            TaskRefused: The row breaks a rule of the table; the message names it.
            DatabaseUnavailable: Nobody answered for `patience_s` seconds.
        """
        (task_id,) = await self.submit_many([prompt_or_payload], **columns)
        return task_id

    async def submit_many(
        self, prompts_or_payloads: Sequence[str | JsonObject], **columns: Unpack[TaskColumns]
    ) -> list[UUID]:
        """Insert tasks in one statement, all or none, and return their ids in the same order.

        Raises:
            DuplicateTask: One of them is already there.
            TaskRefused: One of them breaks a rule of the table.
            DatabaseUnavailable: Nobody answered for `patience_s` seconds.
        """
        tasks = [new_task(each, {"id": uuid4(), **columns}) for each in prompts_or_payloads]
        made_here = set() if "id" in columns else {task.id for task in tasks}
        try:
            return await self._patiently(lambda: self._tasks.submit_many(tasks))
        except DuplicateTask as exc:
            if exc.task_id in made_here:  # written by a try whose reply was lost
                return [task.id for task in tasks if task.id is not None]
            raise

    async def run(
        self,
        prompt_or_payload: str | JsonObject,
        *,
        wait_s: float | None = None,
        **columns: Unpack[TaskColumns],
    ) -> TaskResult:
        """Submit a task and wait for its answer: `submit`, then `wait`.

        Args:
            prompt_or_payload: The input; a string is short for `{"prompt": string}`.
            wait_s: Longest wait in seconds; the column `timeout_s` limits the attempt itself.
            columns: As for `submit`.
        """
        return await self.wait(await self.submit(prompt_or_payload, **columns), timeout_s=wait_s)

    async def look(self, task_id: UUID) -> TaskResult:
        """Return how a task stands now.

        Raises:
            TaskNotFound: There is no such task.
        """
        result = await self._patiently(lambda: self._tasks.look(task_id))
        if result is None:
            raise TaskNotFound(f"there is no task {task_id}")
        return result

    async def wait(self, task_id: UUID, *, timeout_s: float | None = None) -> TaskResult:
        """Return the task's result once it has completed.

        Cancelling the wait, or its timeout, leaves the task alone.

        Raises:
            TaskFailed: It failed, or was cancelled (TaskCancelled); `code`, `retryable` and `result` say more.
            TaskNotFound: There is no such task.
            WaitTimeout: It has not ended within `timeout_s` seconds; also a TimeoutError.
            DatabaseUnavailable: Nobody answered for `patience_s` seconds.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return completed(await self._ended(task_id))
        except TimeoutError as exc:
            raise WaitTimeout(task_id, timeout_s or 0.0) from exc

    async def _ended(self, task_id: UUID) -> TaskResult:
        await self._followers.start()
        with self._followers.of(task_id) as ear:
            while True:
                result = await self.look(task_id)
                if result.status.is_final:
                    return result
                await ear.pause()

    async def stream(
        self, task_id: UUID, *, after_seq: int = 0, timeout_s: float | None = None
    ) -> AsyncGenerator[TaskEvent, None]:
        """Yield the task's events in order, those that are there and those that come; end when it has completed.

        `attempt-start` means: what earlier attempts said is void, except events whose `data.step` is in its `keep`.

        Args:
            task_id: The task.
            after_seq: Begin after this event, such as the last one seen by an earlier stream.
            timeout_s: Longest time for the whole stream.

        Raises:
            TaskFailed: After the last event: the task failed, or was cancelled (TaskCancelled).
            TaskNotFound: There is no such task.
            WaitTimeout: The task has not ended within `timeout_s` seconds.
            DatabaseUnavailable: Nobody answered for `patience_s` seconds.
        """
        clock = asyncio.get_running_loop().time
        deadline = None if timeout_s is None else clock() + timeout_s
        while True:
            left_s = None if deadline is None else max(deadline - clock(), 0.0)
            pages = self._followers.pages(task_id, after_seq=after_seq, timeout_s=left_s, look=self._follow)
            try:
                async with contextlib.aclosing(pages):
                    async for page in pages:
                        for event in page.events:
                            after_seq = event.seq
                            yield event
            except WaitTimeout:
                raise WaitTimeout(task_id, timeout_s or 0.0) from None
            result = await self.look(task_id)
            if result.status.is_final:  # else it was run again meanwhile
                completed(result)
                return

    async def _follow(self, task_id: UUID, *, after_seq: int) -> Following | None:
        return await self._patiently(partial(self._tasks.follow, task_id, after_seq=after_seq))

    async def stream_text(
        self, task_id: UUID, *, timeout_s: float | None = None
    ) -> AsyncGenerator[TextPiece, None]:
        """Yield the task's text as it comes; a piece with `restarted` replaces everything before it.

        Raises:
            TaskFailed, TaskNotFound, WaitTimeout, DatabaseUnavailable: As `stream` does.
        """
        text = Text()
        async for event in self.stream(task_id, timeout_s=timeout_s):
            if piece := text.piece(event):
                yield piece

    async def cancel(self, task_id: UUID) -> TaskStatus:
        """Ask for a stop, and return the task's status now.

        `cancelled`: it is stopped; `processing`: its worker stops it; another final one: it had ended before.

        Raises:
            TaskNotFound: There is no such task.
        """
        (change,) = await self._patiently(lambda: self._tasks.cancel([task_id]))
        if change.after is None:
            raise TaskNotFound(f"there is no task {task_id}")
        return change.after

    async def questions(self, task_id: UUID) -> list[Question]:
        """Return what a task has asked people and client tools; `status` pending waits for an answer."""
        return await self._patiently(lambda: self._questions.of_task(task_id))

    async def answer(self, question_id: UUID, response: JsonObject) -> Question:
        """Answer a question; the task goes on by itself.

        Raises:
            QuestionClosed: Another answer came first, the question was withdrawn, or its time is up.
            TaskNotFound: There is no such question.
            TaskRefused: The response is no JSON object, or cannot be stored.
        """
        return await self._patiently(lambda: self._questions.answer(question_id, response))

    async def _patiently(self, call: Callable[[], Awaitable[Value]]) -> Value:
        async def once() -> Value:
            await self._open()
            return await _cancellably(call())

        return await patiently(once, patience_s=self._patience_s)

    async def _open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this client is closed")
        async with self._opening:
            if not self._is_open:
                await self._db.open()
                self._is_open = True


async def _cancellably(call: Awaitable[Value]) -> Value:
    """Await a call to the database without losing a cancellation.

    Before Python 3.12 `asyncio.wait_for`, with which the pool waits for a connection, swallows a cancellation that
    arrives together with the result; the task still counts it.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    value = await call
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return value


def completed(result: TaskResult) -> TaskResult:
    """Return the result of a task that completed; raise that of another.

    Raises:
        TaskFailed: It failed; TaskCancelled: it was cancelled.
    """
    match result.status:
        case TaskStatus.COMPLETED:
            return result
        case TaskStatus.CANCELLED:
            raise TaskCancelled(result)
        case _:
            raise TaskFailed(result)
