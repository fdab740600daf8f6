"""Workers without a connection of their own: what they hear over Realtime, and what they find when it says nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from agent_worker.db.project import Project
from agent_worker.processors.echo import Echo
from agent_worker.worker.polling import Polling
from agent_worker.worker.worker import Worker
from tests.gateway.door import SECRET
from tests.rest.project import StandIn
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker
from tests.worker.processors import Fail, Hang

# What the client library reads of a connection that was cut.
pytestmark = pytest.mark.filterwarnings(
    "ignore:ConnectionClosed.(code|reason) is deprecated:DeprecationWarning"
)

SELDOM: dict[str, Any] = {
    "poll_interval_s": 30.0,
    "schedule_interval_s": 30.0,
    "heartbeat_s": 30.0,
    "lease_s": 90.0,
}
"""Nobody finds anything in time without a hint."""


@pytest.fixture
def stand_in(database_url: str) -> Iterator[StandIn]:
    """A project with Realtime."""
    with StandIn(database_url, has_realtime=True) as started:
        yield started


@pytest.fixture
def project(stand_in: StandIn) -> Project:
    """That project, which workers of these tests use."""
    return Project(stand_in.url, SecretStr(SECRET))


async def holds(fact: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    async def look() -> bool:
        return fact()

    await eventually(look, timeout_s=timeout_s)


AT_ONCE_S = 10.0
"""For a machine that is busy with other things; sooner than any look that `SELDOM` leaves."""


async def asleep(worker: Worker) -> None:
    """Wait until the worker hears, and its next look is more than `AT_ONCE_S` away."""
    await holds(lambda: worker.listener.connected)
    await worker.claimer.stop()
    assert isinstance(worker.claimer.watch, Polling)
    worker.claimer.watch._quiet_looks = 100  # as after half a minute of quiet
    await worker.claimer.start()
    await worker.claimer.round_done.wait()
    assert worker.claimer.delay_after(0) > 1.5 * AT_ONCE_S


def inserted(task: dict[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in ("id", "kind", "run_at", "status")}


async def test_a_hint_wakes_a_worker_that_looks_seldom(
    start_worker: StartWorker, stand_in: StandIn, rows: Rows
) -> None:
    async with start_worker(Echo(), **SELDOM) as worker:
        await asleep(worker)
        task_id = await rows.insert("echo", {"prompt": "wake up"})

        assert stand_in.tell("INSERT", inserted(await rows.task(task_id))) == 1

        await rows.reaches(task_id, "completed", timeout_s=AT_ONCE_S)


async def test_a_hint_about_another_kind_wakes_nobody(
    start_worker: StartWorker, stand_in: StandIn, rows: Rows
) -> None:
    async with start_worker(Echo(), **SELDOM) as worker:
        await asleep(worker)
        claims = stand_in.calls.count("agent_worker_claim")

        stand_in.tell("INSERT", {"id": str(uuid4()), "kind": "other", "run_at": None, "status": "pending"})
        stand_in.tell("INSERT", {"id": str(uuid4()), "kind": "echo", "run_at": None, "status": "completed"})
        worker.scheduler.wake()
        await worker.scheduler.round_done.wait()

        assert stand_in.calls.count("agent_worker_claim") == claims


async def test_a_cancel_request_is_heard(start_worker: StartWorker, stand_in: StandIn, rows: Rows) -> None:
    hang = Hang()
    async with start_worker(hang, **SELDOM) as worker:
        await holds(lambda: worker.listener.connected)
        task_id = await rows.insert("hang")
        worker.claimer.look()
        await asyncio.wait_for(hang.started.wait(), 30)
        await rows.cancel(task_id)
        task = await rows.task(task_id)

        assert stand_in.tell("UPDATE", {"id": task["id"], "cancel_requested_at": task["cancel_requested_at"]})

        await rows.reaches(task_id, "cancelled", timeout_s=AT_ONCE_S)


async def test_a_task_for_later_is_heard_of(start_worker: StartWorker, stand_in: StandIn, rows: Rows) -> None:
    async with start_worker(Echo(), **SELDOM) as worker:
        await asleep(worker)
        task_id = await rows.db.fetch_value(
            "INSERT INTO agent_task_requests (kind, request_payload, run_at) "
            "VALUES ('echo', '{\"prompt\": \"later\"}', now() + interval '300 ms') RETURNING id"
        )

        stand_in.tell("INSERT", inserted(await rows.task(task_id)))

        async def is_staged() -> bool:
            return (await rows.task(task_id))["run_at"] is None

        await eventually(is_staged, timeout_s=AT_ONCE_S)


async def test_a_task_that_realtime_forgets_is_found_all_the_same(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Echo(), poll_interval_s=1.0) as worker:
        await holds(lambda: worker.listener.connected)

        await rows.reaches(await rows.insert("echo", {"prompt": "unsaid"}), "completed")


async def test_a_worker_that_was_cut_off_hears_again_and_looks_for_what_it_missed(
    start_worker: StartWorker, stand_in: StandIn, rows: Rows
) -> None:
    async with start_worker(Echo(), **SELDOM) as worker:
        await asleep(worker)
        stand_in.cut_sockets()
        missed = await rows.insert("echo", {"prompt": "missed"})

        await rows.reaches(missed, "completed", timeout_s=AT_ONCE_S)
        await holds(lambda: worker.listener.connected and stand_in.subscribers == 1)
        await asleep(worker)
        task_id = await rows.insert("echo", {"prompt": "heard again"})
        stand_in.tell("INSERT", inserted(await rows.task(task_id)))
        await rows.reaches(task_id, "completed", timeout_s=AT_ONCE_S)


async def test_a_retry_begins_on_time_where_nobody_rings(
    start_worker: StartWorker, stand_in: StandIn, rows: Rows
) -> None:
    stand_in.forget_realtime()
    async with start_worker(Fail(), schedule_interval_s=30.0) as worker:
        await worker.scheduler.round_done.wait()
        task_id = await rows.insert("fail", {"times": 1})

        await rows.reaches(task_id, "completed", timeout_s=AT_ONCE_S)


async def test_a_worker_leaves_quickly_while_nobody_answers(
    start_worker: StartWorker, stand_in: StandIn
) -> None:
    async with start_worker(Echo()) as worker:
        await holds(lambda: worker.listener.connected)
        stand_in.down()
        await holds(lambda: not worker.listener.connected)
        began = time.monotonic()
    assert time.monotonic() - began < 20


async def test_a_worker_leaves_a_project_that_fell_silent(
    start_worker: StartWorker, stand_in: StandIn, rows: Rows
) -> None:
    hang = Hang()
    async with start_worker(hang, shutdown_grace_s=0.1):
        await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 30)
        stand_in.stall()
        began = time.monotonic()
    assert time.monotonic() - began < 60, "a few seconds for each thing it would like to say"


class _Silence:
    """Ears that can be told whether they hear."""

    def __init__(self) -> None:
        self.connected = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@pytest.mark.parametrize(("hears", "longest_s"), [(False, 1.0), (True, 2.0)])
async def test_looks_that_find_nothing_grow_rare_and_a_find_or_a_hint_makes_them_frequent(
    hears: bool, longest_s: float
) -> None:
    ears = _Silence()
    ears.connected = hears
    polling = Polling(ears, ["echo"], interval_s=2.0)

    delays = [await polling.rest() for _ in range(10)]

    assert delays[:3] == [0.02, 0.04, 0.08]
    assert delays[-1] == longest_s
    assert delays == sorted(delays)
    assert not polling.rung("other")
    assert await polling.rest() == longest_s
    assert polling.rung("echo")
    assert await polling.rest() == 0.02
    await polling.rest()
    polling.found()
    assert await polling.rest() == 0.02
