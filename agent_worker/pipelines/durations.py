"""Lengths of time as definitions write them: `500ms`, `30s`, `5m`, `1h30m`, `2d`."""

from __future__ import annotations

import re

_PART = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?(ms|s|m|h|d)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_ORDER = tuple(reversed(_UNITS_S))
_LONGEST_TEXT = 64

HINT = "write a number and a unit, such as 30s, 5m or 1h30m"


def parse_duration(text: str) -> float | None:
    """Return the seconds of a duration, or None when the text is none.

    Units come from the longest to the shortest, each once: `ms`, `s`, `m` (minutes), `h`, `d`.
    """
    if not text or len(text) > _LONGEST_TEXT:
        return None
    total, position, last = 0.0, 0, -1
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or (rank := _ORDER.index(match[3])) <= last:
            return None
        total += float(f"{match[1]}.{match[2] or 0}") * _UNITS_S[match[3]]
        position, last = match.end(), rank
    return total


def write_duration(seconds: float) -> str:
    """Write seconds for a message: `90s` becomes `1m30s`."""
    left_ms = round(seconds * 1000)
    parts = []
    for unit in _ORDER:
        size_ms = round(_UNITS_S[unit] * 1000)
        count, left_ms = divmod(left_ms, size_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
