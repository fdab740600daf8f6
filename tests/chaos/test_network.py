"""The way between a worker and its database freezes, loses replies and is cut, while another worker goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.chaos.conftest import Rounds
from tests.chaos.scene import Scene
from tests.client.by_hand import Wire
from tests.e2e.fleet import WorkerProcess
from tests.waiting import eventually

Trouble = Callable[[Scene, Wire, WorkerProcess], Awaitable[None]]


async def half_open_for_a_moment(scene: Scene, wire: Wire, far: WorkerProcess) -> None:
    wire.freeze()
    await asyncio.wait_for(wire.holds_bytes.wait(), 30)
    wire.thaw()


async def half_open_beyond_the_lease(scene: Scene, wire: Wire, far: WorkerProcess) -> None:
    await scene.holds(far)
    wire.freeze()
    await scene.given_up(far)
    wire.thaw()


async def replies_lost_and_the_line_cut(scene: Scene, wire: Wire, far: WorkerProcess) -> None:
    before = wire.lost_replies

    async def has_lost_some() -> bool:
        return wire.lost_replies >= before + 3  # of a claim, a write and a heartbeat, most likely

    wire.lose_replies()
    await eventually(has_lost_some)
    wire.cut()
    wire.keep_replies()


async def line_cut(scene: Scene, wire: Wire, far: WorkerProcess) -> None:
    wire.cut()


TROUBLES: tuple[Trouble, ...] = (
    half_open_beyond_the_lease,
    replies_lost_and_the_line_cut,
    half_open_for_a_moment,
    replies_lost_and_the_line_cut,
    line_cut,
)


async def test_a_bad_line_costs_time_and_attempts_but_no_outcome(scene: Scene, rounds: Rounds) -> None:
    async with Wire(scene.url).open() as wire:
        far = scene.start("--concurrency", "10", url=wire.url)
        scene.start("--concurrency", "3")
        await scene.alive(2)
        for n in rounds(len(TROUBLES)):
            trouble = TROUBLES[n] if n < len(TROUBLES) else scene.dice.choice(TROUBLES)
            await scene.insert(30)
            await scene.insert(10, ["work:0.2", "step:one", "ask:leave", "step:two"])
            await scene.further(10)
            await trouble(scene, wire, far)
        await scene.settle()
    assert scene.logged("outcome.fenced") + scene.logged("lease.lost"), "what came too late was dropped"
