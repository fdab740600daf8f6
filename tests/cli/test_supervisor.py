"""The supervisor by itself, with children of a few lines."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from agent_worker.domain.backoff import Backoff
from agent_worker.worker.supervisor import Start, Supervisor
from tests.cli.program import is_alive
from tests.waiting import eventually

CHILD = """
import os, signal, socket, sys
link = socket.socket(fileno=int(sys.argv[1]))
index, number, mode = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
stops = iter([lambda: None, lambda: os._exit(0)] if mode == "stubborn" else [lambda: os._exit(0)])
for each in (signal.SIGTERM, signal.SIGINT):
    signal.signal(each, signal.SIG_IGN if mode == "deaf" else lambda *_: next(stops)())
if mode == "refuses" or (mode == "second refuses" and number == 2):
    os._exit(2)
link.sendall(f"child-{index}.{number}\\n".encode())
if mode == "second refuses" or (mode == "crashes" and number < 3):
    os._exit(7)
if mode == "leaves":
    os._exit(0)
while link.recv(1):
    pass
"""


class Trial:
    """A supervisor of children that behave in one way."""

    def __init__(self, mode: str, *, processes: int = 2, patience_s: float = 20.0) -> None:
        self.starts: list[Start] = []
        self.ready: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()

        def command(start: Start) -> list[str]:
            self.starts.append(start)
            numbers = map(str, (start.link, start.index, start.number))
            return [sys.executable, "-S", "-c", CHILD, *numbers, mode]

        self.supervisor = Supervisor(
            command,
            processes=processes,
            environment=dict(os.environ),
            stop_patience_s=patience_s,
            on_ready=self.ready.set_result,
            backoff=Backoff(base_s=0.01, max_s=0.05),
        )
        self.running = asyncio.create_task(self.supervisor.run())

    def has_started(self, count: int) -> Callable[[], Awaitable[bool]]:
        """Return whether there were so many starts, as a fact to wait for."""

        async def fact() -> bool:
            return len(self.starts) >= count

        return fact

    async def ends(self) -> int:
        """Return the exit code."""
        return await asyncio.wait_for(self.running, 60)


async def test_children_that_are_all_in_the_fleet_are_told_once_and_stop_when_told() -> None:
    trial = Trial("works")
    assert await trial.ready == ["child-0.1", "child-1.1"]

    trial.supervisor.stop()

    assert await trial.ends() == 0


async def test_a_crashed_child_is_started_again() -> None:
    trial = Trial("crashes", processes=1)
    await eventually(trial.has_started(3))

    trial.supervisor.stop()

    await trial.ends()
    assert [start.number for start in trial.starts] == [1, 2, 3]


async def test_a_child_that_refuses_its_configuration_at_first_stops_all() -> None:
    assert await Trial("refuses").ends() == 2


async def test_a_child_that_refuses_later_is_given_up_alone() -> None:
    trial = Trial("second refuses", processes=1)

    assert await trial.ends() == 2
    assert len(trial.starts) == 2


async def test_a_child_that_leaves_by_itself_is_not_missed() -> None:
    trial = Trial("leaves")

    assert await trial.ends() == 0
    assert len(trial.starts) == 2


async def test_a_second_stop_reaches_a_child_that_is_busy_with_the_first() -> None:
    trial = Trial("stubborn")
    await trial.ready
    trial.supervisor.stop()

    trial.supervisor.stop()

    assert await trial.ends() == 0


@pytest.mark.parametrize("by", ["a third stop", "lost patience"])
async def test_a_deaf_child_is_killed_in_the_end(by: str) -> None:
    trial = Trial("deaf", patience_s=20.0 if by == "a third stop" else 0.2)
    await trial.ready

    for _ in range(3 if by == "a third stop" else 1):
        trial.supervisor.stop()

    assert await trial.ends() == 1


async def test_a_supervisor_that_is_cancelled_leaves_no_child() -> None:
    trial = Trial("deaf", processes=1)
    await trial.ready
    (pid,) = [int(path.name) for path in Path("/proc").iterdir() if _is_child(path)]

    trial.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial.running

    async def is_gone() -> bool:
        return not is_alive(pid)

    await eventually(is_gone)


def _is_child(path: Path) -> bool:
    try:
        return (
            "link.sendall" in (path / "cmdline").read_text()
            and f"PPid:\t{os.getpid()}\n" in (path / "status").read_text()
        )
    except OSError:
        return False
