"""The database restarts, crashes, cuts its sessions, takes no more of them, and commits late; under load."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from tests.chaos.conftest import Rounds
from tests.chaos.processors import note
from tests.chaos.scene import Scene
from tests.chaos.server import Server, running_server

HOLD_BACK = "LOCK TABLE public.agent_task_events IN ACCESS EXCLUSIVE MODE"

CALM_LEASE_S = 6.0
CALM = {"AGENT_WORKER_LEASE_S": str(CALM_LEASE_S)}
"""Of workers none of which may be taken for dead, however busy the machine is."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def database_url(server: Server) -> str:
    return server.copy()


async def test_a_server_that_restarts_and_crashes_under_load_loses_no_outcome(
    scene: Scene, server: Server, rounds: Rounds
) -> None:
    for _ in range(2):
        scene.start()
    await scene.alive(2)
    for n in rounds(2):
        await scene.insert(40)
        await scene.further(10)
        if n % 2:
            await asyncio.to_thread(server.stop)
        else:
            note("crash")
            await asyncio.to_thread(server.crash)
        await scene.insert_meanwhile(10, asyncio.to_thread(server.start))
        await scene.further(10)
    await scene.settle()
    told = scene.logged("database_unavailable") + scene.logged("recorder.waiting")
    assert told, "the workers noticed"


async def test_sessions_that_are_cut_in_storms_cost_no_attempt_and_no_outcome(
    scene: Scene, rounds: Rounds
) -> None:
    for _ in range(2):
        scene.start(**CALM)
    await scene.alive(2)
    cut = 0
    for _ in rounds(5):
        for _ in range(4):
            begun = scene.counts()[
                "start"
            ]  # before the insert: these tasks may all have begun a moment later
            await scene.insert(5)
            await scene.begun(begun + 2)
            cut += await scene.cut_sessions()
    await scene.settle()
    assert cut >= 20
    rescued = "SELECT count(*) FROM public.agent_task_events WHERE data ->> 'code' = 'worker_lost'"
    assert await scene.db.fetch_value(rescued) == 0, "heartbeats came back within the lease"


async def test_a_pool_whose_statements_all_hang_keeps_the_leases_and_goes_on_afterwards(
    scene: Scene, rounds: Rounds
) -> None:
    scene.start(**CALM)
    scene.start(**CALM)
    await scene.alive(2)
    for _ in rounds(1):
        await scene.insert(40)
        await scene.further(10)
        async with await psycopg.AsyncConnection.connect(scene.url) as holding:
            await holding.execute(HOLD_BACK)
            await scene.until(
                "SELECT count(*) >= 2 FROM pg_stat_activity "
                "WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            await scene.lease_passes(CALM_LEASE_S)
        await scene.further(10)
    await scene.settle()
    rescued = "SELECT count(*) FROM public.agent_task_events WHERE data ->> 'code' = 'worker_lost'"
    assert await scene.db.fetch_value(rescued) == 0, "heartbeats have a connection of their own"


async def test_a_server_without_free_connections_keeps_running_workers_and_refuses_new_ones(
    scene: Scene, rounds: Rounds
) -> None:
    scene.start()
    await scene.alive(1)
    for _ in rounds(1):
        await scene.insert(20)
        await scene.further(5)
        with taken_connections(scene.url):
            late = scene.start()
            assert await asyncio.to_thread(late.wait) == 3
            assert "connection slots" in late.log.read_text() or "too many clients" in late.log.read_text()
            assert await scene.cut_sessions() >= 2
            with taken_connections(scene.url):  # before the running worker has come back
                await scene.insert(20)
                await scene.lease_passes()
    await scene.settle()
    assert scene.logged("heartbeat.failed"), "the running worker was left without connections"


async def test_commits_that_wait_for_a_standby_only_take_longer(
    scene: Scene, server: Server, rounds: Rounds
) -> None:
    for _ in range(2):
        scene.start(**CALM)
    await scene.alive(2)
    for _ in rounds(1):
        await scene.insert(30)
        await scene.further(10)
        server.set("synchronous_standby_names", "nobody")
        try:
            await scene.until("SELECT count(*) >= 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            await scene.lease_passes(CALM_LEASE_S)
        finally:
            server.set("synchronous_standby_names", None)
        await scene.further(10)
    await scene.settle()
    rescued = "SELECT count(*) FROM public.agent_task_events WHERE data ->> 'code' = 'worker_lost'"
    assert await scene.db.fetch_value(rescued) == 0, "heartbeats do not wait for the standby"


@contextlib.contextmanager
def taken_connections(url: str) -> Iterator[None]:
    """Take every connection that the server still gives."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(psycopg.connect(url, autocommit=True))
        yield
