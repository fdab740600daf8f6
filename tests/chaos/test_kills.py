"""Workers are killed again and again, while tasks stream, step, retry, spawn and ask."""

from __future__ import annotations

from tests.chaos.conftest import Rounds
from tests.chaos.scene import Scene


async def test_tasks_survive_workers_that_are_killed_again_and_again(scene: Scene, rounds: Rounds) -> None:
    for _ in range(3):
        scene.start("--concurrency", "8")
    await scene.alive(3)
    for _ in rounds(3):
        ids = await scene.insert(30)
        await scene.insert(3, ["step:one", "work:0.3", "step:two"], max_attempts=2)
        await scene.further(10)
        await scene.cancel(scene.some(ids))
        scene.kill(scene.dice.choice(scene.running))
        scene.start("--concurrency", "8")
        await scene.further(10)
    await scene.settle()
    assert scene.counts()["killed"] >= 3
