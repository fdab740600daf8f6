"""Idle workers are woken by an insert, and inserts ring only while somebody sleeps."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg

from agent_worker.db.queries import sql
from agent_worker.processors.echo import Echo
from agent_worker.worker.watch import LINGER_S
from agent_worker.worker.worker import Worker
from tests.client.by_hand import cut_connections
from tests.waiting import eventually
from tests.worker.conftest import SHORT_LEASE, Rows, StartWorker
from tests.worker.processors import Hang

LONG_S = 60.0
"""A poll that no test waits for, so that what happens was rung for."""


def is_armed(worker: Worker) -> bool:
    return worker.claimer.watch.is_armed


async def sleeps(*workers: Worker) -> Worker:
    """Wait until one of these workers sleeps on the bell, and return it."""

    async def one() -> bool:
        return any(map(is_armed, workers))

    await eventually(one)
    (watch,) = filter(is_armed, workers)
    return watch


async def only_listens(worker: Worker) -> None:
    """Wait until a worker that keeps no watch has made its first looks, and makes no more until it is told."""

    async def hears() -> bool:
        return worker.listener.connected

    await eventually(hears)
    await worker.claimer.stop()
    await worker.claimer.start()
    await worker.claimer.round_done.wait()


@contextlib.asynccontextmanager
async def eavesdropping(rows: Rows) -> AsyncIterator[list[str]]:
    """Collect the rings on the workers' channel during the block."""
    said: list[str] = []
    async with await psycopg.AsyncConnection.connect(rows.db.conninfo, autocommit=True) as conn:
        await conn.execute("LISTEN agent_worker")
        yield said
        await conn.execute("SELECT pg_notify('agent_worker', 'end')")
        async for note in conn.notifies(timeout=30):
            if note.payload == "end":
                break
            if note.payload.startswith("task "):
                said.append(note.payload)


async def test_a_sleeping_worker_is_woken_by_each_insert(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Echo(), poll_interval_s=LONG_S) as worker:
        for _ in range(5):
            await sleeps(worker)
            task_id = await rows.insert("echo", {"prompt": "x"})
            await rows.reaches(task_id, "completed")


async def test_a_worker_without_a_free_slot_is_not_rung_for(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Hang(), poll_interval_s=LONG_S, concurrency=1) as worker:
        await sleeps(worker)
        await rows.reaches(await rows.insert("hang"), "processing")

        async def has_left() -> bool:
            return not worker.claimer.watch.kinds

        await eventually(has_left)
        async with eavesdropping(rows) as said:
            for _ in range(10):
                await rows.insert("hang")
        assert said == []
        worker.executor.release_all()


async def test_rung_twice_in_a_moment_the_worker_stays_awake(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(Echo(), poll_interval_s=LONG_S) as worker:
        await sleeps(worker)
        late = 0
        async with eavesdropping(rows) as said:
            for _ in range(300):
                begun = time.monotonic()
                await rows.insert("echo", {"prompt": "x"})
                late += time.monotonic() - begun > sum(LINGER_S)
        assert len(said) < 150 + late, "inserts in quick succession do not ring each time"

        async def are_done() -> bool:
            return worker._metrics.count("tasks_completed", "echo") == 300

        await eventually(are_done)
        await sleeps(worker)


async def test_one_worker_of_the_fleet_keeps_watch_and_another_takes_over_when_it_is_full(
    start_worker: StartWorker, rows: Rows
) -> None:
    options: dict[str, Any] = {"poll_interval_s": LONG_S, "concurrency": 1}
    async with start_worker(Hang(), **options) as one, start_worker(Hang(), **options) as two:
        first = await sleeps(one, two)
        second = two if first is one else one
        assert not second.claimer.watch.kinds
        await only_listens(second)
        task_id = await rows.insert("hang")
        await rows.reaches(task_id, "processing")
        await sleeps(second)
        await rows.reaches(await rows.insert("hang"), "processing")
        for worker in (one, two):
            worker.executor.release_all()


async def test_a_burst_wakes_the_fleet_one_after_another(start_worker: StartWorker, rows: Rows) -> None:
    options: dict[str, Any] = {"poll_interval_s": LONG_S, "concurrency": 2}
    async with contextlib.AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(start_worker(Hang(), **options)) for _ in range(4)]
        await sleeps(*workers)
        await rows.db.fetch_all(
            "INSERT INTO agent_task_requests (kind) SELECT 'hang' FROM generate_series(1, 20) RETURNING 1"
        )

        async def are_full() -> bool:
            return all(worker.executor.in_flight == 2 for worker in workers)

        await eventually(are_full)
        for worker in workers:
            worker.executor.release_all()


async def test_workers_of_other_kinds_do_not_disturb_each_other(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with (
        start_worker(Echo(), poll_interval_s=LONG_S) as echo,
        start_worker(Hang(), poll_interval_s=LONG_S) as hang,
    ):
        await sleeps(echo)
        await sleeps(hang)
        await rows.reaches(await rows.insert("echo", {"prompt": "x"}), "completed")
        await rows.reaches(await rows.insert("hang"), "processing")
        hang.executor.release_all()


async def test_the_watch_is_taken_anew_after_its_session_was_cut(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with start_worker(Echo(), poll_interval_s=LONG_S) as worker:
        await sleeps(worker)
        await cut_connections(rows.db, listening=True)
        task_id = await rows.insert("echo", {"prompt": "x"})
        await rows.reaches(task_id, "completed")
        await sleeps(worker)
        await rows.reaches(await rows.insert("echo", {"prompt": "x"}), "completed")


async def test_inserts_that_are_being_committed_keep_the_worker_awake_and_are_found(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with await psycopg.AsyncConnection.connect(rows.db.conninfo) as slow:
        await slow.execute("INSERT INTO agent_task_requests (kind, request_payload) VALUES ('echo', '{}')")
        await slow.execute("SET CONSTRAINTS ALL IMMEDIATE")  # as during a commit that waits for a replica
        async with start_worker(Echo(), poll_interval_s=LONG_S) as worker:
            for _ in range(5):
                await worker.claimer.round_done.wait()
            assert not is_armed(worker)
            await slow.commit()
            await sleeps(worker)
            (task,) = await rows.db.fetch_all("SELECT status FROM agent_task_requests")
            assert task[0] != "pending"


async def test_a_worker_that_leaves_hands_the_watch_over(start_worker: StartWorker, rows: Rows) -> None:
    async with contextlib.AsyncExitStack() as first:
        leaves = await first.enter_async_context(start_worker(Echo(), poll_interval_s=LONG_S))
        await sleeps(leaves)
        async with start_worker(Echo(), poll_interval_s=LONG_S) as stays:
            await stays.claimer.round_done.wait()
            await first.aclose()
            await sleeps(stays)
            await rows.reaches(await rows.insert("echo", {"prompt": "x"}), "completed")


async def test_nothing_is_lost_between_going_to_sleep_and_an_insert(
    start_worker: StartWorker, rows: Rows
) -> None:
    """Inserts at every moment of falling asleep, each found without a poll."""
    async with start_worker(Echo(), poll_interval_s=LONG_S) as worker:
        for n in range(60):
            task_id = await rows.insert("echo", {"prompt": "x"})
            await rows.reaches(task_id, "completed")
            await asyncio.sleep(n * 0.0003)
        await sleeps(worker)


async def test_clients_hear_of_an_end_only_while_somebody_follows(
    start_worker: StartWorker, rows: Rows
) -> None:
    async with await psycopg.AsyncConnection.connect(rows.db.conninfo, autocommit=True) as follower:
        await follower.execute("LISTEN agent_worker_events")
        async with start_worker(Echo()):
            alone = await rows.insert("echo", {"prompt": "x"})
            await rows.reaches(alone, "completed")
            await follower.execute(sql("follow"))
            followed = await rows.insert("echo", {"prompt": "x"})
            async for note in follower.notifies(timeout=30):
                assert str(alone) not in note.payload
                if str(followed) in note.payload:
                    break
            await rows.reaches(followed, "completed")


async def test_a_worker_that_may_take_nothing_rests_however_eager_its_last_look_was(
    start_worker: StartWorker,
) -> None:
    """Rounds without a wait would starve the event loop, while the heartbeat's thread keeps the lease."""
    async with start_worker(Echo(), **SHORT_LEASE) as worker:
        await worker.claimer.stop()

        async def would_look_again_at_once() -> bool:
            return worker.claimer.delay_after(await worker.claimer.run_once()) == 0

        await eventually(would_look_again_at_once)  # the bell is armed: one more look, and then sleep
        worker.heartbeat.stop()

        async def may_take_nothing() -> bool:
            return worker._free_slots() == 0

        await eventually(may_take_nothing)
        assert not await would_look_again_at_once()
