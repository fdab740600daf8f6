"""Limits in a running fleet: what they hold back starts as soon as they let it, without a poll."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from agent_worker.db.limits import Limits
from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task
from agent_worker.processors.echo import Echo
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker

pytestmark = pytest.mark.parametrize("way", ["postgres", "http"], indirect=True)

LONG_S = 60.0


class Count:
    """Says how many of its kind ran at once."""

    kind = "count"

    def __init__(self) -> None:
        self.running = 0
        self.most = 0

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.005)
        self.running -= 1
        return {}


async def insert(rows: Rows, kind: str, count: int) -> None:
    query = (
        "INSERT INTO agent_task_requests (kind, request_payload) "
        "SELECT %(kind)s, jsonb_build_object('prompt', 'x') FROM generate_series(1, %(n)s)"
    )
    async with rows.db.connection() as conn:
        await conn.execute(query, {"kind": kind, "n": count})


async def all_completed(rows: Rows, kind: str, count: int, timeout_s: float = 30.0) -> None:
    query = "SELECT count(*) FROM agent_task_requests WHERE kind = %(kind)s AND status = 'completed'"

    async def are_done() -> bool:
        return bool(await rows.db.fetch_value(query, {"kind": kind}) == count)

    await eventually(are_done, timeout_s=timeout_s)


async def test_a_fleet_works_off_a_limited_kind_without_waiting_for_a_poll(
    start_worker: StartWorker, rows: Rows
) -> None:
    await Limits(rows.db).set(kind="count", per="all", key=None, max_running=3, rate=None)
    counted = Count()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(start_worker(counted, Echo(), poll_interval_s=LONG_S))
        await insert(rows, "count", 60)
        await all_completed(rows, "count", 60)
    assert 1 <= counted.most <= 3


async def test_a_rate_lets_the_next_start_when_its_time_has_come(
    start_worker: StartWorker, rows: Rows
) -> None:
    await Limits(rows.db).set(kind="count", per="all", key=None, max_running=None, rate=(4, 1))
    async with start_worker(Count(), Echo(), poll_interval_s=LONG_S):
        await insert(rows, "count", 12)
        await all_completed(rows, "count", 12)
    starts = [
        row[0]
        for row in await rows.db.fetch_all(
            "SELECT extract(epoch FROM started_at)::float8 FROM agent_task_requests ORDER BY started_at"
        )
    ]
    for first, fifth in zip(starts, starts[4:], strict=False):
        assert fifth - first > 0.8, "five starts in a second"


async def test_other_kinds_go_on_beside_a_limit(start_worker: StartWorker, rows: Rows) -> None:
    await Limits(rows.db).pause("count")
    async with start_worker(Count(), Echo(), poll_interval_s=LONG_S):
        await insert(rows, "count", 5)
        await insert(rows, "echo", 50)
        await all_completed(rows, "echo", 50)
        assert (
            await rows.db.fetch_value("SELECT count(*) FROM agent_task_requests WHERE status = 'pending'")
            == 5
        )
        await Limits(rows.db).resume("count")
        await all_completed(rows, "count", 5)
