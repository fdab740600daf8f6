"""Steps, children and questions: a waiting task holds no worker and goes on with its answer, anywhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_worker import Task, TaskContext
from agent_worker.processors.echo import Echo
from tests.worker.conftest import Rows, StartWorker
from tests.worker.processors import AskClient, Fail, Parent, Steps

pytestmark = pytest.mark.parametrize("way", ["postgres", "http"], indirect=True)


async def test_a_step_runs_once_though_the_attempt_is_repeated(start_worker: StartWorker, rows: Rows) -> None:
    steps = Steps()
    async with start_worker(steps):
        task_id = await rows.insert("steps", {"fail_once": True})
        task = await rows.reaches(task_id, "completed")
    assert steps.runs == ["process", "first", "process"]
    assert task["response_payload"]["reserved"] == {"seat": ["12", "A"]}
    assert task["response_payload"]["key"] == f"{task_id}:reserve"


async def test_a_step_returns_the_same_json_the_first_time_and_ever_after(
    start_worker: StartWorker, rows: Rows
) -> None:
    seen: list[Any] = []

    class Tuple:
        kind = "tuple"

        async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
            async def pair() -> Any:
                return (1, 2)

            seen.append(await ctx.step("pair", pair))
            await ctx.ask_human("go", "Go on?")
            return {}

    async with start_worker(Tuple()):
        task_id = await rows.insert("tuple")
        await rows.reaches(task_id, "waiting")
        await rows.answer(task_id, {"approved": True})
        await rows.reaches(task_id, "completed")
    assert seen == [[1, 2], [1, 2]]


async def test_events_of_a_finished_step_outlive_the_attempt(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Steps()):
        task_id = await rows.insert("steps", {"fail_once": True})
        await rows.reaches(task_id, "completed")
    events = await rows.events(task_id)
    assert [data["step"] for kind, data in events if kind == "seat-reserved"] == ["reserve"]
    starts = [data for kind, data in events if kind == "attempt-start"]
    assert [start["keep"] for start in starts] == [[], ["reserve"]]


async def test_a_question_parks_the_task_and_its_answer_goes_on_from_there(
    start_worker: StartWorker, rows: Rows
) -> None:
    steps = Steps()
    async with start_worker(steps) as worker:
        task_id = await rows.insert("steps", {"ask": True}, max_attempts=1)
        task = await rows.reaches(task_id, "waiting")
        assert (task["worker_id"], task["attempt"]) == (None, 0)
        assert worker.executor.in_flight == 0
        await rows.answer(task_id, {"approved": True, "note": "window"})
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["answer"] == {"approved": True, "note": "window"}
    assert steps.runs == ["process", "first", "process"]
    assert task["attempt"] == 1, "waiting uses up no attempt"


async def test_another_worker_goes_on_with_the_answer(start_worker: StartWorker, rows: Rows) -> None:
    first, second = Steps(), Steps()
    async with start_worker(first):
        task_id = await rows.insert("steps", {"ask": True})
        await rows.reaches(task_id, "waiting")
    await rows.answer(task_id, {"approved": False})
    async with start_worker(second):
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["answer"] == {"approved": False}
    assert second.runs == ["process"], "the step is not run again"


async def test_a_question_nobody_answers_fails_the_task(start_worker: StartWorker, rows: Rows) -> None:
    class Hurry:
        kind = "hurry"

        async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
            return dict(await ctx.ask_human("now", "Now?", timeout_s=0.2))

    async with start_worker(Hurry()):
        task = await rows.reaches(await rows.insert("hurry"), "failed")
    assert task["response_payload"]["code"] == "human_timeout"


async def test_a_waiting_task_is_cancelled_with_its_question(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Steps()):
        task_id = await rows.insert("steps", {"ask": True})
        await rows.reaches(task_id, "waiting")
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
    assert (await rows.question(task_id))["status"] == "cancelled"


async def test_the_client_runs_tools_for_the_task(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(AskClient()):
        task_id = await rows.insert("ask-client")
        await rows.reaches(task_id, "waiting")
        assert await rows.types(task_id) == ["attempt-start", "client-tool-request", "finish"]
        await rows.answer(task_id, {"toolResults": [{"toolCallId": "c1", "result": "noon"}]})
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"] == {"answer": "noon"}


async def test_a_parent_waits_for_its_children(start_worker: StartWorker, rows: Rows) -> None:
    children = [{"kind": "echo", "payload": {"prompt": str(n)}} for n in range(3)]
    async with start_worker(Parent(), Echo(), concurrency=1):
        task_id = await rows.insert("parent", {"children": children}, enterprise_id="acme", priority=3)
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"] == {"answers": ["0", "1", "2"]}
    spawned = await rows.db.fetch_all(
        "SELECT enterprise_id, priority FROM agent_task_requests WHERE parent_id = %(id)s", {"id": task_id}
    )
    assert spawned == [("acme", 3)] * 3


async def test_a_failed_child_fails_its_parent(start_worker: StartWorker, rows: Rows) -> None:
    children = [{"kind": "fail", "payload": {"how": "permanent"}}]
    async with start_worker(Parent(), Fail()):
        task = await rows.reaches(await rows.insert("parent", {"children": children}), "failed")
    assert task["response_payload"]["code"] == "child_failed"
    assert "It cannot work." in task["response_payload"]["error"]


async def test_a_cancelled_parent_cancels_its_children(start_worker: StartWorker, rows: Rows) -> None:
    children = [{"kind": "nobody-yet", "payload": {}}]
    async with start_worker(Parent()):
        task_id = await rows.insert("parent", {"children": children})
        await rows.reaches(task_id, "waiting")
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
    status = await rows.db.fetch_value(
        "SELECT status FROM agent_task_requests WHERE parent_id = %(id)s", {"id": task_id}
    )
    assert status == "cancelled"


async def test_a_key_used_for_two_kinds_of_call_is_an_error(start_worker: StartWorker, rows: Rows) -> None:
    class Reuse:
        kind = "reuse"

        async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
            await ctx.checkpoint.put("x", 1)
            await ctx.ask_human("x", "?")
            return {}

    async with start_worker(Reuse()):
        task = await rows.reaches(await rows.insert("reuse"), "failed")
    assert task["response_payload"]["code"] == "key_reused"


async def test_a_processor_that_catches_every_exception_still_parks(
    start_worker: StartWorker, rows: Rows
) -> None:
    class Greedy:
        kind = "greedy"

        async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
            try:
                answer = await ctx.ask_human("q", "?")
            except Exception:  # noqa: BLE001 - the fault under test
                return {"answer": "swallowed"}
            return {"answer": answer["approved"]}

    async with start_worker(Greedy()):
        task_id = await rows.insert("greedy")
        await rows.reaches(task_id, "waiting")
        await rows.answer(task_id, {"approved": True})
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"] == {"answer": True}


async def test_many_tasks_wait_at_once_in_few_slots(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Steps(), concurrency=2):
        task_ids = [await rows.insert("steps", {"ask": True}) for _ in range(20)]
        await asyncio.gather(*(rows.reaches(task_id, "waiting") for task_id in task_ids))
        for task_id in task_ids:
            await rows.answer(task_id, {"approved": True})
        await asyncio.gather(*(rows.reaches(task_id, "completed") for task_id in task_ids))
