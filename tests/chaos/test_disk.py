"""The disk of the database fills up, and is freed again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.processors import note
from tests.chaos.scene import Scene
from tests.chaos.server import Server
from tests.waiting import eventually

SIZE = "256m"


@pytest.fixture(scope="module")
def small_disk() -> Iterator[Path]:
    """A file system of its own, of which nothing is left afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    point = Path(tempfile.mkdtemp(prefix="agent-worker-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "tmpfs", str(point)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        point.rmdir()
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield point
    finally:
        subprocess.run(["umount", str(point)], check=True)
        point.rmdir()


@pytest.fixture
def server(small_disk: Path) -> Iterator[Server]:
    started = Server(small_disk / ".agent-worker")
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture
def database_url(server: Server) -> str:
    return server.copy()


async def test_tasks_wait_while_the_disk_is_full_and_all_end_when_it_is_freed(
    scene: Scene, server: Server, small_disk: Path
) -> None:
    """Once, however long the others go on: a small disk has no room for more."""
    scene.start()
    scene.start()
    await scene.alive(2)
    await scene.insert(40)
    await scene.further(10)
    note("crash")  # a server without room for its log stops at once
    ballast = small_disk / "ballast"
    fill(ballast)
    filling = asyncio.create_task(insert_large(scene))
    try:
        await eventually(scene.is_refused, timeout_s=30)
    finally:
        ballast.unlink()
    await asyncio.to_thread(server.start)  # should it have given up
    await filling
    await scene.settle()


async def insert_large(scene: Scene) -> None:
    """Insert 40 MB of tasks that do not compress; what is refused is insisted on."""
    for _ in range(20):
        await scene.insert(10, [f"say:{scene.dice.randbytes(100_000).hex()}", "step:one"])


def fill(ballast: Path) -> None:
    """Leave no room, whatever others write meanwhile."""
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65_536))
