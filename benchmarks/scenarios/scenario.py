"""What the program asks of a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.contestants.contestant import Contestant
from benchmarks.server import Server


@dataclass(frozen=True, slots=True)
class Bench:
    """Where runs happen.

    Attributes:
        server: The one PostgreSQL.
        scratch: Folder for the workers' files.
        is_quick: Whether sizes are small: to try things, not to quote them.
    """

    server: Server
    scratch: Path
    is_quick: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of a scenario's table.

    Attributes:
        key: In JSON.
        label: In tables, with the unit.
        digits: Decimals shown.
        is_better_high: Whether more is better.
    """

    key: str
    label: str
    digits: int = 0
    is_better_high: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of one contestant gave.

    Attributes:
        figures: Values by figure key; a figure may be missing.
        notes: What a reader must know, such as a time limit that was reached.
    """

    figures: dict[str, float]
    notes: tuple[str, ...] = field(default=())


class Scenario(Protocol):
    """One question.

    Attributes:
        name: On the command line and in JSON.
        title: Above its table.
        figures: Its columns; the first is drawn.
        contestants: Who takes part, in order.
        rounds: How often each runs, unless told otherwise: (quick, full).
    """

    name: str
    title: str
    figures: Sequence[Figure]
    contestants: Sequence[str]
    rounds: tuple[int, int]

    def run(self, bench: Bench, contestant: Contestant) -> Run:
        """Measure one contestant once, in bounded time."""
        ...

    def close(self, bench: Bench) -> None:
        """Remove what was kept between runs."""
        ...
