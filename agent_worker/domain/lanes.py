"""Where in the queue a worker looks: lanes, their turns, and how far each is used up.

Pending tasks lie in one index, ordered by (kind, priority, enterprise, user, seq). A *lane* is one user's line at one
kind and priority; a *tenant* is an enterprise with the lanes of all its users, or a user without one. A worker
remembers the lanes in which it found tasks. Tenants take turns, and within a tenant its users, so that a tenant with
100,000 tasks delays another's next by one batch at most. Between the lanes it knows, it looks into the *gaps*, where a
lane unknown to it would be.

Each known lane has a watermark: below it nothing is expected, so the claim starts there and does not wade through the
index entries of tasks long taken, which nobody can remove while an old snapshot is held. A task that was committed late
lies below; a *sweep* from zero finds it.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar
from uuid import UUID

Lane: TypeAlias = tuple[str, UUID]
"""Enterprise ("" without one) and user (`NOBODY` without one)."""

Place: TypeAlias = tuple[str, UUID, int]
"""Enterprise, user and seq: a place in the index within one kind and priority."""

Item = TypeVar("Item")

NOBODY = UUID(int=0)
LAST_SEQ = 2**63 - 1
END: Place = (chr(0x10FFFF), NOBODY, 0)
"""Sorts after every lane in the index's byte order; no enterprise has this name."""

MARGIN = 2_000
"""How far below the highest claimed seq the watermark lies: more inserts than are ever between number and commit at once,
save in transactions that stay open, which the sweep is for."""

MAX_LANES = 1_000
"""Most lanes remembered; those beyond are found in the gaps, in the index's order."""

FORGET_AFTER_S = 60.0
"""A lane that gave nothing for so long is forgotten; its next task is found in a gap."""

ACTIVE_TURNS = 8
"""A batch is divided among the lanes that gave tasks in so many of their level's last claims."""

LOW_PRIORITY_TURN = 10
"""Every tenth claim begins with the lowest priority, so that no priority is starved for ever."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the index to take at most `quota` tasks from, `low` included and `high` not."""

    kind: str
    priority: int
    low: Place
    high: Place
    quota: int


def whole_level(kind: str, priority: int, *, watermark: int = 0, quota: int = 1_000) -> Span:
    """Return the span of all lanes at one kind and priority; the watermark holds for tasks of nobody."""
    return Span(kind, priority, ("", NOBODY, watermark), END, quota)


@dataclass(slots=True)
class _Line:
    """What is remembered of one lane."""

    highest: int = 0
    last_found_s: float = 0.0
    last_found_turn: int = 0

    @property
    def watermark(self) -> int:
        return max(self.highest - MARGIN, 0)


@dataclass(slots=True)
class _Level:
    """The lanes of one kind and priority, in the index's order."""

    lines: dict[Lane, _Line] = field(default_factory=dict)
    order: list[Lane] = field(default_factory=list)
    turn: int = 0

    def active(self) -> list[Lane]:
        """Return the lanes that gave tasks lately."""
        since = self.turn - ACTIVE_TURNS
        return [lane for lane in self.order if self.lines[lane].last_found_turn > since]


class LaneBook:
    """Decides where the next claim looks. Pure: time comes in, spans come out.

    Args:
        kinds: Kinds the worker offers.
        priorities: From the highest to the lowest.
    """

    def __init__(self, kinds: Sequence[str], priorities: Sequence[int]) -> None:
        self._kinds = list(kinds)
        self._priorities = list(priorities)
        self._levels = {(kind, priority): _Level() for priority in priorities for kind in kinds}
        self._turn = 0

    def spans(self, limit: int, *, sweep: bool) -> list[Span]:
        """Return where to look for up to `limit` tasks, in the order of their turns.

        Args:
            limit: Free slots.
            sweep: Look from the beginning of every lane instead of from its watermark.
        """
        self._turn += 1
        self._kinds.append(self._kinds.pop(0))  # kinds take turns at being first
        priorities = self._priorities if self._turn % LOW_PRIORITY_TURN else self._priorities[::-1]
        return [
            span
            for priority in priorities
            for kind in self._kinds
            for span in self._level_spans(kind, priority, limit, sweep=sweep)
        ]

    def learn(self, found: Iterable[tuple[str, int, Lane, int]], now_s: float) -> None:
        """Remember what a claim found.

        Args:
            found: (kind, priority, lane, seq) of each claimed task.
            now_s: A reading of a monotonic clock.
        """
        for kind, priority, lane, seq in found:
            level = self._levels[kind, priority]
            line = level.lines.get(lane)
            if line is None:
                if len(level.lines) >= MAX_LANES:
                    continue
                line = level.lines[lane] = _Line()
                insort(level.order, lane, key=_index_order)
            line.highest = max(line.highest, seq)
            line.last_found_s = now_s
            line.last_found_turn = level.turn

    def forget_idle(self, now_s: float) -> None:
        """Forget lanes that gave nothing for a while."""
        for level in self._levels.values():
            idle = {lane for lane, line in level.lines.items() if now_s - line.last_found_s > FORGET_AFTER_S}
            if idle:
                level.lines = {lane: line for lane, line in level.lines.items() if lane not in idle}
                level.order = [lane for lane in level.order if lane not in idle]

    def _level_spans(self, kind: str, priority: int, limit: int, *, sweep: bool) -> list[Span]:
        level = self._levels[kind, priority]
        giving: defaultdict[Lane, int] = defaultdict(int)
        for lane in level.active():
            giving[tenant_of(lane)] += 1
        share = -(-limit // max(len(giving), 1))
        gap = max(limit // 4, 1)
        gaps: list[Span] = []
        by_tenant: defaultdict[Lane, list[Span]] = defaultdict(list)
        low: Place = ("", NOBODY, -1)
        for lane in level.order:
            start = 0 if sweep else level.lines[lane].watermark
            quota = -(-share // (giving.get(tenant_of(lane)) or 1))
            gaps.append(Span(kind, priority, low, (*lane, 0), gap))
            by_tenant[tenant_of(lane)].append(Span(kind, priority, (*lane, start), (*lane, LAST_SEQ), quota))
            low = (*lane, LAST_SEQ)
        gaps.append(Span(kind, priority, low, END, gap if level.order else limit))
        lines = _in_turn(list(by_tenant.values()), level.turn)
        level.turn += 1
        # Who was never served comes first; every second time, for the gaps may hold more lanes than can be remembered.
        return gaps + lines if level.turn % 2 else lines + gaps


def tenant_of(lane: Lane) -> Lane:
    """Return whose turn it is when this lane is served: its enterprise's, or the user's own."""
    return (lane[0], NOBODY) if lane[0] else lane


def _in_turn(tenants: list[list[Span]], turn: int) -> list[Span]:
    """Begin with another tenant each turn, and within each tenant with another lane each time all had a turn."""
    rounds = turn // max(len(tenants), 1)
    return [span for lanes in _rotated(tenants, turn) for span in _rotated(lanes, rounds)]


def _rotated(items: list[Item], by: int) -> list[Item]:
    start = by % len(items) if items else 0
    return items[start:] + items[:start]


def _index_order(lane: Lane) -> tuple[bytes, int]:
    return lane[0].encode("utf-8", "surrogatepass"), lane[1].int
