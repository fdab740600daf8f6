"""Notifications are lost with their session, and drowned in junk; they are hints, and what counts is in the tables."""

from __future__ import annotations

from uuid import uuid4

import psycopg

from tests.chaos.conftest import Rounds
from tests.chaos.scene import Scene

JUNK = (
    "task x",
    "task",
    "task play",
    "cancel",
    "cancel nobody",
    "watch",
    "schedule",
    "",
    "\x01\x02\x7f",
    "é" * 3000,
    "task " * 1000,
)


async def test_listeners_that_are_replaced_and_drowned_in_junk_miss_no_task_and_no_cancel(
    scene: Scene, rounds: Rounds
) -> None:
    for _ in range(2):
        scene.start("--concurrency", "10")
    await scene.alive(2)
    async with await psycopg.AsyncConnection.connect(scene.url, autocommit=True) as crier:
        for _ in rounds(3):
            doomed = await scene.insert(4, ["say:endless", "work:600"])
            await scene.insert(30)
            await scene.further(10)
            for _ in range(4):
                await cry(crier, scene)
                await scene.cut_sessions("listener")
            await scene.cancel(doomed)
            await scene.cut_sessions("listener")
            await scene.ended(doomed)
    await scene.settle()
    assert scene.logged("loop.failed") == 0


async def cry(crier: psycopg.AsyncConnection[tuple[object, ...]], scene: Scene) -> None:
    """Send 2,000 notifications that mean nothing, or the wrong thing."""
    payloads = [scene.dice.choice((*JUNK, f"cancel {uuid4()}")) for _ in range(100)]
    await crier.execute(
        "SELECT pg_notify('agent_worker', n || ' ' || left(payload, 7900)) FROM unnest(%s::text[]) payload, generate_series(1, 10) n",
        [payloads],
    )
    await crier.execute(
        "SELECT pg_notify('agent_worker', left(payload, 7900)) FROM unnest(%s::text[]) payload, generate_series(1, 10)",
        [payloads],
    )
