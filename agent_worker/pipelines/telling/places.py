"""Read the names of executions, which `Scope.place` writes.

`steps.Each text.steps.Translate@3` is the fourth round of a step inside `steps.Each text`; what a worker does that a step
runs begins with the step's place and a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

_FIRST = "steps."
_WORKER = f"/{_FIRST}"
_ROUNDS = re.compile(r"@(\d+(?:\.\d+)*)$")


def around(place: str) -> Iterator[str]:
    """Yield each place that this one may be inside of, from the inside; some of them may never have been."""
    outer, own = _parted(place)
    path, rounds = _taken_apart(own)
    for length in range(len(path) - 1, 0, -1):
        for depth in range(len(rounds), -1, -1):
            above = ".".join(path[:length]) + (f"@{'.'.join(map(str, rounds[:depth]))}" if depth else "")
            yield f"{outer}/{above}" if outer else above
    if outer:
        yield outer
        yield from around(outer)


def position(place: str, outer: str | None) -> tuple[tuple[int, ...], str | None]:
    """Return the rounds of the loops between a step and the one it is shown inside of, and the branch of a `parallel`.

    Args:
        place: The step's.
        outer: The other one's; None where there is none.
    """
    worker, own = _parted(place)
    path, rounds = _taken_apart(own)
    above, before = ((), ()) if outer is None else _taken_apart(_parted(outer)[1])
    if outer is None or _parted(outer)[0] != worker:
        above, before = path[:1], ()
    between = path[len(above) : -1]
    has_branch = len(between) > 1 and between[0] == "branches"
    return rounds[len(before) :], unquote(between[1]) if has_branch else None


def _parted(place: str) -> tuple[str, str]:
    """Return the step that runs the worker, and the place within the worker."""
    outer, found, own = place.rpartition(_WORKER)
    return (outer, _FIRST + own) if found else ("", place)


def _taken_apart(place: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the path and the rounds of a place within its worker."""
    match = _ROUNDS.search(place)
    if match is None:
        return tuple(place.split(".")), ()
    return tuple(place[: match.start()].split(".")), tuple(map(int, match[1].split(".")))
