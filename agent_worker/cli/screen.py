"""How data looks: tables of 80 columns with relative times for people, JSON with ISO times for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from uuid import UUID

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent_worker.cli.exits import PROGRAM
from agent_worker.domain.health import age
from agent_worker.domain.json import JsonValue
from agent_worker.domain.task import TaskStatus

WIDTH = 80
SHORTEST_ID = 8

STATES: Mapping[TaskStatus, tuple[str, str]] = MappingProxyType(
    {
        TaskStatus.PENDING: ("○", "default"),
        TaskStatus.PROCESSING: ("◐", "blue"),
        TaskStatus.WAITING: ("⏸", "magenta"),
        TaskStatus.COMPLETED: ("●", "green"),
        TaskStatus.FAILED: ("✕", "red"),
        TaskStatus.CANCELLED: ("⊘", "yellow"),
    }
)
"""Shape and colour of each state; the word always stands beside them."""


def console() -> Console:
    """Return a console for standard output: colours on a terminal only, 80 columns where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH, soft_wrap=False)


def show(*parts: RenderableType) -> None:
    """Print for a person; without a terminal, plain text without trailing blanks."""
    screen = console()
    if screen.is_terminal:
        screen.print(Group(*parts), crop=False)
        return
    with screen.capture() as captured:
        screen.print(Group(*parts), crop=False)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def program_here() -> str:
    """Return how a person at this terminal calls the program: by name, or by its path while no shell would find it."""
    if shutil.which(PROGRAM):
        return PROGRAM
    path = Path(sys.executable).with_name(PROGRAM)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def print_json(value: JsonValue) -> None:
    """Print one JSON document, indented on a terminal."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def print_json_line(value: JsonValue) -> None:
    """Print one JSON value of a stream, in one line, sent on at once."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def state(status: TaskStatus) -> Text:
    """Return a state's shape and word in its colour."""
    shape, colour = STATES[status]
    return Text(f"{shape} {status.value}", style=colour)


def table(*columns: str, right: Sequence[str] = (), header: bool = True, folds: bool = False) -> Table:
    """Return an empty table without lines.

    The last column takes the room that the others leave; what does not fit is cut.

    Args:
        columns: Headings.
        right: Headings of columns of numbers.
        header: Whether headings are shown.
        folds: Wrap the last column instead of cutting it.
    """
    made = Table(
        box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=header
    )
    for name in columns[:-1]:
        made.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    made.add_column(columns[-1], ratio=1, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    return made


def ago(moment: datetime | None, *, now: datetime | None = None) -> str:
    """Write how long ago a moment was, or how far off it is: `12 s ago`, `in 5 min`; `-` for None."""
    if moment is None:
        return "-"
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    return f"{age(seconds)} ago" if seconds >= 0 else f"in {age(-seconds)}"


def short_ids(ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return each id's first digits, as few as tell it from the others, at least eight."""
    texts = {str(each) for each in ids}
    lengths = range(SHORTEST_ID, 36)
    length = next((n for n in lengths if len({text[:n] for text in texts}) == len(texts)), 36)
    return {UUID(text): text[:length] for text in texts}


def size(text: str) -> str:
    """Write how many bytes a text takes: `312 bytes`, `1.4 kB`."""
    count = len(text.encode(errors="replace"))
    if count < 1000:  # noqa: PLR2004 - where kilobytes begin
        return f"{count} bytes"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"  # noqa: PLR2004


def one_line(text: str) -> str:
    """Return text that cannot break a table or a terminal: white space becomes one space, controls vanish."""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())


def plain_text(text: str) -> str:
    """Return text with its lines and indentation, without what could steer a terminal."""
    return "".join(char for char in text.expandtabs(4) if char == "\n" or char.isprintable())
