"""Chance that can be repeated, time that is shared out, and a stage for each scenario."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.scene import Scene

Rounds = Callable[[int], Iterator[int]]
"""`rounds(3)`: three rounds of trouble; with `--minutes`, as many more as fit this test's share of them."""

SPARE_S = 180.0
"""What a test may take beside its rounds before it is cut off: starts, the last rescues, the check."""

ONCE_S = 120.0
"""What everything takes that does not go on for as long as it is told to."""


@pytest.hookimpl(trylast=True)  # after -k and -m, so that those who stay share all the time
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    ours = [item for item in items if item.path.is_relative_to(here)]
    for item in ours:
        item.add_marker(pytest.mark.chaos)
        item.add_marker(pytest.mark.slow)
    share_s = ONCE_S if config.getoption("--minutes") is None else _share_s(config, items)
    for item in ours:
        item.add_marker(pytest.mark.timeout(share_s + SPARE_S))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Printed, so that a failure shows it."""
    given: int | None = request.config.getoption("--chaos-seed")
    chosen = random.SystemRandom().randrange(2**32) if given is None else given
    print(f"repeat with --chaos-seed={chosen}")  # noqa: T201 - shown by pytest when the test fails
    return chosen


@pytest.fixture
def dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - repeatable on purpose


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Rounds:
    has_time = request.config.getoption("--minutes") is not None
    share_s = _share_s(request.config, request.session.items) if has_time else 0.0

    def count(few: int) -> Iterator[int]:
        deadline = time.monotonic() + share_s
        done = 0
        while done < few or time.monotonic() < deadline:
            yield done
            done += 1

    return count


@pytest.fixture
async def scene(database_url: str, tmp_path: Path, ledger: Path, dice: random.Random) -> AsyncIterator[Scene]:
    async with Scene(database_url, tmp_path, dice).open() as opened:
        yield opened


def _share_s(config: pytest.Config, items: list[pytest.Item]) -> float:
    minutes: float = config.getoption("--minutes")
    sharing = [item for item in items if "rounds" in getattr(item, "fixturenames", ())]
    return max(minutes * 60 - ONCE_S, 0.0) / max(len(sharing), 1)
