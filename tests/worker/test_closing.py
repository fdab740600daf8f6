"""What a processor holds open is closed with the worker, and what that raises keeps no worker from leaving."""

from __future__ import annotations

import structlog

from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task
from tests.worker.conftest import Rows, StartWorker


class Holding:
    """Holds something open; tells when it was closed, and whether a task still ran."""

    def __init__(self, kind: str, error: Exception | None = None) -> None:
        self.kind = kind
        self.error = error
        self.running = 0
        self.closed: list[int] = []

    async def process(self, _task: Task, _ctx: TaskContext) -> JsonObject:
        self.running += 1
        try:
            return {}
        finally:
            self.running -= 1

    async def close(self) -> None:
        self.closed.append(self.running)
        if self.error is not None:
            raise self.error


async def test_processors_are_closed_when_the_last_task_has_ended(
    start_worker: StartWorker, rows: Rows
) -> None:
    good, bad = Holding("good"), Holding("bad", OSError("no"))
    with structlog.testing.capture_logs() as logs:
        async with start_worker(bad, good):
            await rows.reaches(await rows.insert("good", {}), "completed")
            assert good.closed == []
    assert (good.closed, bad.closed) == ([0], [0])
    told = [each for each in logs if each["event"] == "processor.not_closed"]
    assert [(each["kind"], each["reason"]) for each in told] == [("bad", "OSError")]
