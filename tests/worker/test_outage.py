"""The database goes away under a worker, without a word."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.client.by_hand import Wire
from tests.worker.conftest import Rows, StartWorker
from tests.worker.processors import Hang, Say

pytestmark = pytest.mark.slow


async def test_a_half_open_connection_does_not_keep_a_worker_from_leaving(
    start_worker: StartWorker, rows: Rows, database_url: str
) -> None:
    hang = Hang()
    async with Wire(database_url).open() as wire:
        async with start_worker(hang, url=wire.url, shutdown_grace_s=0.5):
            task_id = await rows.insert("hang")
            await asyncio.wait_for(hang.started.wait(), 10)
            wire.freeze()
            began = time.monotonic()
        assert time.monotonic() - began < 60, "bounded, though nobody answers"
        assert hang.cancelled.is_set()
    assert await rows.status(task_id) == "processing", (
        "given back by the rescue, since nobody heard the worker leave"
    )


async def test_a_result_of_an_outage_is_written_when_the_database_is_back(
    start_worker: StartWorker, rows: Rows, database_url: str
) -> None:
    hang = Hang()
    async with (
        Wire(database_url).open() as wire,
        start_worker(hang, Say(), url=wire.url, lease_s=120, heartbeat_s=1),
    ):
        task_id = await rows.insert("hang")
        await asyncio.wait_for(hang.started.wait(), 10)
        wire.freeze()
        hang.release.set()
        await asyncio.wait_for(wire.holds_bytes.wait(), 10)
        assert await rows.status(task_id) == "processing"
        wire.thaw()
        task = await rows.reaches(task_id, "completed", timeout_s=60)
        assert (task["attempt"], task["response_payload"]) == (1, {"answer": "released"})
        await rows.reaches(await rows.insert("say", {"text": "back again"}), "completed", timeout_s=60)
