"""What clients of the protocol hear of real runs: also of those that fail, wait, ask, are stopped, or lose their worker."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.tasks import Tasks
from agent_worker.domain.records import TaskEvent
from agent_worker.pipelines.telling.legs import Audience, Legs
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, hear
from tests.pipelines.sources import worker
from tests.pipelines.test_durably import payload, pipeline
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker

AUDIENCES: tuple[Audience, ...] = ("server", "browser")
TOOLS = """
tools:
  ours: {description: Ours, parameters: {what: {type: string}}}
  theirs: {description: Theirs, parameters: {what: {type: string}}}
"""
ASKING = """
Ours: {block: tool-call, tool: ours, input: {what: TOPIC}}
Side by side:
  block: parallel
  branches:
    Client:
      Theirs: {block: tool-call, tool: theirs, input: {what: TOPIC}, output: A}
    Person:
      Approve: {block: human-approval, prompt: ask, input: [TOPIC], output: B}
Last: {block: tool-call, tool: ours, input: {what: TOPIC}}
"""
CALLING = """
Call: {block: run-worker, worker: inner, input: {TOPIC: TOPIC, KIND: KIND, LIST: LIST}, output: A}
"""
CALLED = """
Theirs: {block: tool-call, tool: theirs, input: {what: TOPIC}, output: A}
Ours: {block: tool-call, tool: ours, input: {what: TOPIC}}
"""
WORKERS = "workers:\n  inner: {description: Inner}\n"


class Blocked(Counting):
    """A tool that does not come back."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.reached = asyncio.Event()

    async def call(self, arguments: Any, *, idempotency_key: str) -> Any:
        self.reached.set()
        await asyncio.Event().wait()


async def all_events(rows: Rows, task_id: UUID) -> list[TaskEvent]:
    return await Tasks(rows.db).events(task_id)


async def heard(rows: Rows, task_id: UUID, audience: Audience = "browser") -> list[list[dict[str, Any]]]:
    end = await Tasks(rows.db).look(task_id)
    assert end is not None
    return hear(
        await all_events(rows, task_id),
        audience,
        task_id=str(task_id),
        end=end if end.status.is_final else None,
    )


def kinds(leg: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in leg]


async def answer_all(rows: Rows, task_id: UUID, status: str = "completed") -> list[int]:
    """Answer what a run asks until it has ended; return how many events there were at each question."""
    seen: list[int] = []
    while True:

        async def stands() -> bool:
            return await rows.status(task_id) in {"waiting", "failed", status}

        await eventually(stands)
        if await rows.status(task_id) != "waiting":
            return seen
        seen.append(len(await all_events(rows, task_id)))
        question = await rows.question(task_id)
        calls = question["context"].get("toolCalls", [])
        results = [{"toolCallId": call["toolCallId"], "result": "done"} for call in calls]
        await rows.answer(task_id, {"toolResults": results} if calls else {"approved": True})


async def test_each_question_ends_a_leg_and_a_replay_tells_the_same_as_who_was_there(
    start_worker: StartWorker, rows: Rows
) -> None:
    protocol = worker(sections=TOOLS, steps=ASKING, output="output: A\n")
    async with start_worker(pipeline(Counting("ours"))):
        task_id = await rows.insert("pipeline", payload(protocol))
        ends = await answer_all(rows, task_id)
        await rows.reaches(task_id, "completed")
    events = await all_events(rows, task_id)
    for audience in AUDIENCES:
        legs = await heard(rows, task_id, audience)
        assert len(legs) == 3
        live, at = Legs(str(task_id), audience), [0, *ends, len(events)]
        for leg, begin, end in zip(legs, at, at[1:], strict=False):
            assert [each for event in events[begin:end] for each in live.feed(event)] == leg
    asked = [call["toolName"] for leg in legs for event in leg for call in event.get("toolCalls", [])]
    assert sorted(asked) == ["agent_worker_human_approval", "theirs"]
    outputs = [event["output"] for leg in legs for event in leg if event["type"] == "tool-output-available"]
    assert outputs == [1, *outputs[1:3], 2]
    assert sorted(map(str, outputs[1:3])) == ["done", "{'approved': True}"]


async def test_a_worker_inside_the_run_goes_on_over_legs(start_worker: StartWorker, rows: Rows) -> None:
    sections = TOOLS + WORKERS
    body = payload(worker(sections=sections, steps=CALLING, output="output: A\n"))
    inner = payload(worker(sections=TOOLS, steps=CALLED, output="output: A\n"))["definition"]
    body["workers"] = {"inner": {**inner, "settings": {**inner["settings"], "slug": "inner"}}}
    async with start_worker(pipeline(Counting("ours"))):
        task_id = await rows.insert("pipeline", body)
        await answer_all(rows, task_id)
    first, second = await heard(rows, task_id)
    assert kinds(first).count("worker-start") == 2
    assert kinds(second).count("worker-result") == 2
    assert kinds(second)[-3:] == ["worker-result", "finish", "usage"]


async def test_an_attempt_that_failed_and_a_wait_belong_to_one_leg(
    start_worker: StartWorker, rows: Rows
) -> None:
    steps = """
    First: {block: tool-call, tool: ours, input: {what: TOPIC}}
    Rest: {block: wait, for: 1100ms}
    Done: {block: set-variable, variable: A, value: done, display: name}
    """
    protocol = worker(sections=TOOLS, steps=steps, output="output: A\n")
    tool = Counting("ours", [ToolError("Busy.")])
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(protocol))
        await rows.reaches(task_id, "completed")
    (leg,) = await heard(rows, task_id, "server")
    assert kinds(leg).count("start") == 3
    assert (await rows.types(task_id)).count("attempt-failed") == 2


async def test_a_run_that_fails_tells_its_result_and_its_error(start_worker: StartWorker, rows: Rows) -> None:
    protocol = worker(sections=TOOLS, steps="First: {block: tool-call, tool: ours, input: {what: TOPIC}}\n")
    tool = Counting("ours", [ToolError("Wrong.", retryable=False)])
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(protocol))
        await rows.reaches(task_id, "failed")
    (leg,) = await heard(rows, task_id)
    assert kinds(leg)[-2:] == ["worker-result", "error"]
    assert leg[-2]["error"] == leg[-1]["message"]
    assert leg[-1]["errorType"] == "tool_error"


async def rescue(db: Database) -> None:
    """Have the fleet take everything from its workers, as if they had not been heard of."""
    async with db.connection() as conn, conn.transaction():
        await conn.execute("UPDATE agent_worker.workers SET heartbeat_at = now() - interval '1 hour'")
        await conn.execute("SELECT * FROM agent_worker.rescue(10)")


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_run_whose_worker_is_lost_goes_on_or_ends_in_the_same_leg(
    start_worker: StartWorker, rows: Rows, db: Database, attempts: int
) -> None:
    protocol = worker(sections=TOOLS, steps=ASKING, output="output: A\n")
    blocked = Blocked("ours")
    async with start_worker(pipeline(blocked), shutdown_grace_s=0.1):
        task_id = await rows.insert("pipeline", payload(protocol), max_attempts=attempts)
        async with asyncio.timeout(30):
            await blocked.reached.wait()
        shown = len(await all_events(rows, task_id))

        async def is_said() -> bool:
            return len(await all_events(rows, task_id)) > shown or "block-start" in await rows.types(task_id)

        await eventually(is_said)
        await rescue(db)
    if attempts == 1:
        await rows.reaches(task_id, "failed")
    else:
        async with start_worker(pipeline(Counting("ours"))):
            await answer_all(rows, task_id)
    for audience in AUDIENCES:
        first, *_ = await heard(rows, task_id, audience)
        if attempts == 1:
            assert kinds(first)[-3:] == ["block-end", "worker-result", "error"]
            assert first[-1]["code"] == "worker_lost"
        else:
            assert kinds(first).count("start") >= 2, (
                "one of each attempt; the one that leaves may begin one more"
            )


@pytest.mark.parametrize("steps", [ASKING, "Rest: {block: wait, for: 10m}\n"])
async def test_a_run_that_is_cancelled_while_it_waits_ends_with_an_error(
    start_worker: StartWorker, rows: Rows, steps: str
) -> None:
    protocol = worker(sections=TOOLS, steps=steps)
    async with start_worker(pipeline(Counting("ours"))):
        task_id = await rows.insert("pipeline", payload(protocol))

        async def rests() -> bool:
            said = await rows.types(task_id)
            return bool(said) and said[-1] in {"finish", "attempt-failed"}

        await eventually(rests)
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
    legs = await heard(rows, task_id)
    assert kinds(legs[-1])[-2:] == ["worker-result", "error"]
    assert legs[-1][-1]["code"] == "cancelled"


async def test_a_run_that_is_cancelled_while_it_works_ends_with_an_error(
    start_worker: StartWorker, rows: Rows
) -> None:
    protocol = worker(sections=TOOLS, steps=ASKING, output="output: A\n")
    blocked = Blocked("ours")
    async with start_worker(pipeline(blocked)):
        task_id = await rows.insert("pipeline", payload(protocol))
        async with asyncio.timeout(30):
            await blocked.reached.wait()
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
    (leg,) = await heard(rows, task_id)
    assert kinds(leg)[-2:] == ["worker-result", "error"]


async def test_a_run_that_cannot_begin_is_an_error_behind_a_start(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(pipeline()):
        task_id = await rows.insert("pipeline", payload("steps: 1"))
        await rows.reaches(task_id, "failed")
    (leg,) = await heard(rows, task_id)
    assert kinds(leg) == ["start", "error"]
    assert leg[-1]["errorType"] == "validation_error"
