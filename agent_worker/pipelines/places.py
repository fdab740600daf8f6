"""Read the names of executions, which `Scope.place` writes.

`steps.Each text.steps.Translate@3` is the fourth round of a step inside `steps.Each text`; what a worker does that a step
runs begins with the step's place and a slash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ROUNDS = re.compile(r"@(\d+(?:\.\d+)*)$")


def around(place: str) -> Iterator[str]:
    """Yield each place that this one may be inside of, from the inside; some of them may never have been."""
    path, rounds = taken_apart(place)
    for length in range(len(path) - 1, 0, -1):
        for depth in range(len(rounds), -1, -1):
            yield ".".join(path[:length]) + (f"@{'.'.join(map(str, rounds[:depth]))}" if depth else "")
    outer, _, inner = place.rpartition("/")
    if inner and outer:
        yield outer
        yield from around(outer)


def position(place: str, outer: str | None) -> tuple[tuple[int, ...], str | None]:
    """Return the rounds of the loops between a step and the one it is shown inside of, and the branch of a `parallel`.

    Args:
        place: The step's.
        outer: The other one's; None where there is none.
    """
    if outer is not None and place.startswith(f"{outer}/"):
        place, outer = place.removeprefix(f"{outer}/"), None
    path, rounds = taken_apart(place)
    above, around = ((), ()) if outer is None else taken_apart(outer)
    if path[: len(above)] != above:  # inside a worker that a model called
        above, around = path[:-1], ()
    between = path[len(above) : -1]
    has_branch = len(between) > 1 and between[0] == "branches"
    return rounds[len(around) :], _name(between[1]) if has_branch else None


def taken_apart(place: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the path and the rounds of a place."""
    match = _ROUNDS.search(place)
    if match is None:
        return tuple(place.split(".")), ()
    return tuple(place[: match.start()].split(".")), tuple(map(int, match[1].split(".")))


def _name(part: str) -> str:
    return part.replace("%2E", ".").replace("%25", "%")
