"""Whatever a processor raises or says harms its own task alone: the worker lives, and the tasks beside it are answered."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent_worker import Task, TaskContext
from agent_worker.processors.echo import Echo
from tests.worker.conftest import Rows, StartWorker


@pytest.fixture(autouse=True)
def unrendered_logs() -> Iterator[None]:
    """The renderer that structlog brings for terminals prints every local, for minutes where one is this deep."""
    with capture_logs():
        yield


class OutOfTheTree(BaseException):
    """No Exception."""


class Raise:
    """Raise what it was made with, in a coroutine."""

    kind = "raise"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        raise self.error


class RaiseInThread:
    """The same in a thread."""

    kind = "raise"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def process(self, task: Task, ctx: Any) -> dict[str, Any]:
        raise self.error


class Call:
    """Call its context as no type checker would let it."""

    kind = "call"

    def __init__(self, call: Callable[[Any], Awaitable[object]]) -> None:
        self.call = call

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        await self.call(ctx)
        return {}


@pytest.mark.parametrize("how", [Raise, RaiseInThread])
@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), OutOfTheTree(), StopIteration()],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_no_exception_fails_one_attempt_and_not_the_worker(
    start_worker: StartWorker, rows: Rows, how: type[Raise | RaiseInThread], error: BaseException
) -> None:
    """A library that calls sys.exit ended the worker, and one worker after the other that took the task over."""
    async with start_worker(how(error), Echo()):
        task = await rows.reaches(await rows.insert("raise", max_attempts=1), "failed")
        await rows.reaches(await rows.insert("echo", {"prompt": "still there"}), "completed")
    assert task["response_payload"]["code"] == "internal_error"


def nested(depth: int) -> dict[str, Any]:
    """Return an object deeper than the encoder can follow."""
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"in": value}
    return value


DEEP = nested(2 * sys.getrecursionlimit())


@pytest.mark.parametrize(
    "call",
    [
        lambda ctx: ctx.emit_text(5),
        lambda ctx: ctx.emit("seat-reserved"),
        lambda ctx: ctx.progress("half"),
        lambda ctx: ctx.progress(float("nan")),
        lambda ctx: ctx.progress(50, DEEP),
        lambda ctx: ctx.spawn("echo", DEEP),
        lambda ctx: ctx.spawn(7, {}),
        lambda ctx: ctx.checkpoint.put("key", DEEP),
        lambda ctx: ctx.checkpoint.put(7, {}),
        lambda ctx: ctx.ask_human("key", "Title", context=DEEP),
        lambda ctx: ctx.ask_human("key", "Title", timeout_s="soon"),
    ],
    ids=[
        "text", "event", "percent", "nan", "note", "payload", "kind", "value", "key", "context", "timeout"
    ],
)  # fmt: skip
async def test_what_cannot_be_written_fails_its_own_task_and_keeps_no_other_from_its_outcome(
    start_worker: StartWorker, rows: Rows, call: Callable[[Any], Awaitable[object]]
) -> None:
    """It broke the round that writes for all tasks, and those stayed `processing` for ever."""
    async with start_worker(Call(call), Echo()):
        bad = await rows.insert("call", max_attempts=1)
        beside = [await rows.insert("echo", {"prompt": str(n)}) for n in range(5)]
        await asyncio.gather(*(rows.reaches(task_id, "completed") for task_id in beside))
        task = await rows.reaches(bad, "failed")
    assert task["response_payload"]["code"] in {"internal_error", "unstorable_result"}
