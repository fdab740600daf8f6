"""Workers that stand still: only their event loop, or everything in them; and rows that come to light late."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.request
from typing import Any
from uuid import UUID

import psycopg

from agent_worker.domain.lanes import MARGIN
from tests.chaos.conftest import Rounds
from tests.chaos.scene import Scene
from tests.waiting import eventually

LATE = 20
LATER = 10_000


async def test_a_loop_that_is_blocked_beyond_the_lease_keeps_its_tasks(scene: Scene, rounds: Rounds) -> None:
    # A lease that the second worker's start does not cost the first on a busy machine.
    scene.start("--concurrency", "4", AGENT_WORKER_LEASE_S="5")
    await scene.alive(1)
    for _ in rounds(1):
        await scene.insert(1, ["block:10", "step:one"])
        await scene.further(1)
        if len(scene.running) == 1:
            scene.start("--concurrency", "4")  # would take the tasks if it could
        await scene.insert(10, ["say:hello", "work:0.1", "step:one"])
        await scene.further(5)
    await scene.settle()
    assert await scene.db.fetch_value("SELECT max(attempt) FROM public.agent_task_requests") == 1


async def test_what_a_worker_says_that_was_asleep_beyond_its_lease_is_dropped_and_counted(
    scene: Scene, rounds: Rounds
) -> None:
    port, fenced = free_port(), 0
    sleeper = scene.start("--concurrency", "8", "--metrics-port", str(port))
    await scene.alive(1)
    for n in rounds(1):
        ids = await scene.insert(40, ["say:before", "step:one", "work:0.5", "say:after", "step:two"])
        await scene.holds(sleeper)
        sleeper.pause()
        if not n:
            scene.start("--concurrency", "20")
        await scene.given_up(sleeper)
        await scene.ended(ids)
        sleeper.resume()
        fenced = await until_fenced(port, more_than=fenced)
    await scene.settle()


async def test_rows_of_a_transaction_that_stayed_open_are_run_after_10_000_later_ones(
    scene: Scene, rounds: Rounds
) -> None:
    assert LATER > MARGIN * 2, "far below the watermark"
    for _ in range(2):
        scene.start("--concurrency", "1000")
    await scene.alive(2)
    for _ in rounds(1):
        async with await psycopg.AsyncConnection.connect(scene.url) as open_one:
            late = await insert_echoes(open_one, LATE)
            async with await psycopg.AsyncConnection.connect(scene.url, autocommit=True) as other:
                later = await insert_echoes(other, LATER)
            await scene.ended(later)
            await open_one.commit()
        await scene.ended(late)
        scene.inserted += late + later
    await scene.settle()


async def insert_echoes(conn: psycopg.AsyncConnection[tuple[Any, ...]], count: int) -> list[UUID]:
    """Insert so many tasks into one lane, in the transaction that is open or one of its own."""
    cursor = await conn.execute(
        "INSERT INTO public.agent_task_requests (kind, request_payload) "
        "SELECT 'echo', '{\"prompt\": \"late\"}' FROM generate_series(1, %s) RETURNING id",
        [count],
    )
    return [row[0] for row in await cursor.fetchall()]


async def until_fenced(port: int, *, more_than: int) -> int:
    """Wait until the worker has counted more fenced outcomes, and return how many."""
    found = 0

    async def has_counted() -> bool:
        nonlocal found
        page = await asyncio.to_thread(scrape, port)
        counts = re.findall(r"^agent_worker_tasks_fenced_total\{.*\} (\S+)", page, re.MULTILINE)
        found = sum(int(float(count)) for count in counts)
        return found > more_than

    await eventually(has_counted)
    return found


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
        text: str = page.read().decode()
    return text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
