"""One worker: what becomes of a task, as the tables tell it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_worker.processors.echo import Echo
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker
from tests.worker.processors import Blocking, Fail, Hang, Return, Say

pytestmark = pytest.mark.parametrize("way", ["postgres", "http"], indirect=True)


async def test_a_task_is_answered(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Echo()):
        task = await rows.reaches(await rows.insert("echo", {"prompt": "007"}), "completed")
    assert task["response_payload"]["answer"] == "007"
    assert (task["attempt"], task["finished_at"] is not None) == (1, True)


async def test_a_task_inserted_before_the_worker_is_answered(start_worker: StartWorker, rows: Rows) -> None:
    task_id = await rows.insert("echo", {"prompt": "early"})
    async with start_worker(Echo()):
        await rows.reaches(task_id, "completed")


async def test_a_silent_task_leaves_no_events(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Echo()):
        task_id = await rows.insert("echo", {"prompt": "quiet"})
        await rows.reaches(task_id, "completed")
    assert await rows.types(task_id) == []


async def test_text_is_streamed_in_order_and_the_stream_is_closed(
    start_worker: StartWorker, rows: Rows
) -> None:
    text = " ".join(f"word{n}" for n in range(500))
    async with start_worker(Say()):
        task_id = await rows.insert("say", {"text": text})
        await rows.reaches(task_id, "completed")
    events = await rows.events(task_id)
    deltas = [data["delta"] for kind, data in events if kind == "text-delta"]
    assert "".join(deltas) == text
    assert len(deltas) <= len(text) / 1024 + 3, "pieces are joined"
    kinds = [kind for kind, _ in events if kind != "text-delta"]
    assert kinds == ["attempt-start", "text-start", "text-end", "finish"]


async def test_a_failed_attempt_is_repeated_and_says_so(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Fail()):
        task_id = await rows.insert("fail", {"times": 1})
        task = await rows.reaches(task_id, "completed")
    assert (task["attempt"], task["response_payload"]) == (2, {"answer": 2})
    assert [kind for kind in await rows.types(task_id) if kind.startswith("attempt")] == [
        "attempt-start",
        "attempt-failed",
        "attempt-start",
    ]


async def test_a_task_fails_when_no_attempt_is_left(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Fail()):
        task_id = await rows.insert("fail", max_attempts=2)
        task = await rows.reaches(task_id, "failed")
    assert task["response_payload"] == {"error": "Not yet.", "code": "not_yet", "retryable": True}
    assert task["attempt"] == 2
    assert (await rows.types(task_id))[-1] == "error"


async def test_a_permanent_error_fails_at_once(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Fail()):
        task = await rows.reaches(await rows.insert("fail", {"how": "permanent"}), "failed")
    assert (task["attempt"], task["response_payload"]["code"]) == (1, "no_way")


async def test_a_crash_is_told_without_its_details(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Fail()):
        task = await rows.reaches(await rows.insert("fail", {"how": "crash"}, max_attempts=1), "failed")
    assert task["response_payload"]["code"] == "internal_error"
    assert "ValueError" in task["response_payload"]["error"]
    assert "secret" not in str(task)


@pytest.mark.parametrize("value", ["text", None, ["list"], 7])
async def test_a_response_that_is_no_object_fails_the_task(
    start_worker: StartWorker, rows: Rows, value: Any
) -> None:
    async with start_worker(Return(value)):
        task = await rows.reaches(await rows.insert("return"), "failed")
    assert task["response_payload"]["code"] == "invalid_response"


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1, 2}, b"bytes"], ids=["nan", "inf", "set", "bytes"]
)
async def test_a_response_that_is_no_json_fails_the_task(
    start_worker: StartWorker, rows: Rows, value: Any
) -> None:
    async with start_worker(Return({"answer": value})):
        task = await rows.reaches(await rows.insert("return"), "failed")
    assert task["response_payload"]["code"] == "invalid_response"


async def test_characters_that_postgres_refuses_are_replaced(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Return({"answer": "a\x00b\ud800c 😀 \\u0000"})):
        task = await rows.reaches(await rows.insert("return"), "completed")
    assert task["response_payload"] == {"answer": "a\ufffdb\ufffdc 😀 \\u0000"}


async def test_a_response_over_the_limit_fails_only_its_own_task(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Return({"answer": "x" * 17_000_000}), Echo()):
        large = await rows.insert("return")
        small = [await rows.insert("echo", {"prompt": str(n)}) for n in range(5)]
        assert (await rows.reaches(large, "failed"))["response_payload"]["code"] == "response_too_large"
        for task_id in small:
            await rows.reaches(task_id, "completed")


async def test_an_attempt_that_takes_too_long_is_stopped(start_worker: StartWorker, rows: Rows) -> None:
    hang = Hang()
    async with start_worker(hang):
        task = await rows.reaches(await rows.insert("hang", timeout_s=1, max_attempts=1), "failed")
    assert task["response_payload"]["code"] == "timeout"
    assert hang.cancelled.is_set()


async def test_a_running_task_is_cancelled_by_its_column(start_worker: StartWorker, rows: Rows) -> None:
    hang = Hang()
    async with start_worker(hang):
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        await rows.cancel(task_id)
        task = await rows.reaches(task_id, "cancelled")
    assert hang.cancelled.is_set()
    assert task["response_payload"]["code"] == "cancelled"


async def test_a_cancel_request_is_found_when_its_notification_is_lost(
    start_worker: StartWorker, rows: Rows
) -> None:
    hang = Hang()
    async with start_worker(hang, heartbeat_s=30, lease_s=90) as worker:
        await worker.listener.stop()
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")


async def test_a_processor_that_ignores_its_cancellation_is_left_behind(
    start_worker: StartWorker, rows: Rows
) -> None:
    hang = Hang(stubborn=True)
    async with start_worker(hang):
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        await rows.cancel(task_id)
        await rows.reaches(task_id, "cancelled")
        hang.release.set()
    assert await rows.status(task_id) == "cancelled"


async def test_a_blocking_processor_runs_in_a_thread_and_may_use_its_context(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Blocking()):
        task_id = await rows.insert("blocking", {"ask": True})
        await rows.reaches(task_id, "waiting")
        await rows.answer(task_id, {"approved": True})
        task = await rows.reaches(task_id, "completed")
    response = task["response_payload"]
    assert (response["value"], response["note"], response["answer"]) == (41, "written", {"approved": True})
    assert response["thread"] == f"task-{task_id}"
    assert task["progress"] == {"percent": 50, "note": "half"}


async def test_tasks_of_a_higher_priority_are_started_first(start_worker: StartWorker, rows: Rows) -> None:
    order: list[str] = []

    class Note:
        kind = "note"

        async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
            order.append(task.request_payload["name"])
            return {}

    for name, priority in [("low", 0), ("mid", 4), ("high", 9), ("low2", 0)]:
        await rows.insert("note", {"name": name}, priority=priority)
    async with start_worker(Note(), concurrency=1):
        await eventually_len(order, 4)
    assert order == ["high", "mid", "low", "low2"]


async def test_a_task_runs_when_its_time_has_come(start_worker: StartWorker, rows: Rows, way: str) -> None:
    interval_s = 60.0 if way == "postgres" else 0.5  # the one is rung for, the other looks
    async with start_worker(Echo(), schedule_interval_s=interval_s):
        task_id: Any = await rows.db.fetch_value(
            "INSERT INTO agent_task_requests (kind, request_payload, run_at) "
            "VALUES ('echo', '{\"prompt\": \"later\"}', now() + interval '600 ms') RETURNING id"
        )
        await rows.reaches(task_id, "completed")
        late_s = await rows.db.fetch_value(
            "SELECT extract(epoch from started_at - created_at)::float8 FROM agent_task_requests"
        )
    assert 0.6 <= late_s < 20.0


async def test_a_kind_that_nobody_offers_fails_after_the_grace_and_names_the_known_ones(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Echo(), unknown_kind_grace_s=0.3):
        task = await rows.reaches(await rows.insert("ehco"), "failed")
    assert task["response_payload"]["code"] == "unknown_kind"
    assert "Known kinds: echo." in task["response_payload"]["error"]


async def test_one_bad_value_in_a_batch_harms_only_its_own_task(
    start_worker: StartWorker, rows: Rows
) -> None:
    class LongKey:
        kind = "long-key"

        async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
            await ctx.checkpoint.put("k" * 300, 1)
            return {}

    async with start_worker(LongKey(), Say()):
        bad = await rows.insert("long-key")
        good = [await rows.insert("say", {"text": "fine"}) for _ in range(5)]
        assert (await rows.reaches(bad, "failed"))["response_payload"]["code"] == "unstorable_result"
        for task_id in good:
            await rows.reaches(task_id, "completed")


async def test_more_tasks_than_slots_are_all_answered(start_worker: StartWorker, rows: Rows) -> None:
    await rows.db.fetch_all(
        "INSERT INTO agent_task_requests (kind, request_payload) "
        "SELECT 'echo', jsonb_build_object('prompt', n::text) FROM generate_series(1, 500) n RETURNING id"
    )

    async def all_done() -> bool:
        return bool(
            await rows.db.fetch_value(
                "SELECT count(*) = 500 FROM agent_task_requests WHERE status = 'completed'"
            )
        )

    async with start_worker(Echo(), poll_interval_s=30):
        await eventually(all_done)


async def eventually_len(items: list[str], count: int) -> None:
    async def has_all() -> bool:
        return len(items) == count

    await eventually(has_all)


async def test_a_tenant_with_a_long_queue_does_not_hold_up_another(
    start_worker: StartWorker, rows: Rows
) -> None:
    order: list[str] = []

    class Note:
        kind = "note"

        async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
            order.append(task.enterprise_id)
            return {}

    await rows.db.fetch_all(
        "INSERT INTO agent_task_requests (kind, enterprise_id) SELECT 'note', 'large' FROM generate_series(1, 500) RETURNING 1"
    )
    async with start_worker(Note(), concurrency=10):
        await eventually_len_at_least(order, 50)
        await rows.insert("note", enterprise_id="small")
        before = len(order)

        async def is_served() -> bool:
            return "small" in order

        await eventually(is_served)
    assert order.index("small") - before < 100, "a few claims of ten, not the 400 that were left"


async def eventually_len_at_least(items: list[str], count: int) -> None:
    async def has_them() -> bool:
        return len(items) >= count

    await eventually(has_them)
