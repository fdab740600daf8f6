"""Where in the queue a worker looks: lanes, their turns, and how far each is used up.

Pending tasks lie in one index, ordered by (kind, priority, tenant, seq). A *lane* is one tenant's line at one kind and
priority; the tenant is the `enterprise_id`, else the user, else nobody. A worker remembers the lanes in which it found
tasks and takes from them in turns, so that a tenant with 100,000 tasks delays another's next by one batch at most.
Between the lanes it knows, it looks into the *gaps*, where a tenant unknown to it would be.

Each known lane has a watermark: below it nothing is expected, so the claim starts there and does not wade through the
index entries of tasks long taken, which nobody can remove while an old snapshot is held. A task that was committed late
lies below; a *sweep* from zero finds it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LAST_SEQ = 2**63 - 1
LAST_TENANT = chr(0x10FFFF)
"""Sorts after every tenant in the index's byte order; no tenant has this name."""

MARGIN = 2_000
"""How far below the highest claimed seq the watermark lies: more inserts than are ever between number and commit at once,
save in transactions that stay open, which the sweep is for."""

MAX_LANES = 1_000
"""Most lanes remembered; tenants beyond that are found in the gaps, in order of their names."""

FORGET_AFTER_S = 60.0
"""A lane that gave nothing for so long is forgotten; its tenant's next task is found in a gap."""

LOW_PRIORITY_TURN = 10
"""Every tenth claim begins with the lowest priority, so that no priority is starved for ever."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the index to take at most `quota` tasks from: (low, high) in order of (tenant, seq), low included."""

    kind: str
    priority: int
    low: tuple[str, int]
    high: tuple[str, int]
    quota: int


def whole_lane(kind: str, priority: int, *, watermark: int = 0, quota: int = 1_000) -> Span:
    """Return the span of every tenant at one kind and priority; the watermark holds for tasks of nobody."""
    return Span(kind, priority, ("", watermark), (LAST_TENANT, 0), quota)


@dataclass(slots=True)
class _Lane:
    """What is remembered of one tenant's line."""

    highest: int = 0
    last_found_s: float = 0.0
    gave_in_last_claim: bool = False

    @property
    def watermark(self) -> int:
        return max(self.highest - MARGIN, 0)


@dataclass(slots=True)
class _Level:
    """The lanes of one kind and priority, by tenant in the index's order."""

    lanes: dict[str, _Lane] = field(default_factory=dict)
    tenants: list[str] = field(default_factory=list)
    next_turn: int = 0


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

    def learn(self, found: Iterable[tuple[str, int, str, int]], now_s: float) -> None:
        """Remember what a claim found.

        Args:
            found: (kind, priority, tenant, seq) of each claimed task.
            now_s: A reading of a monotonic clock.
        """
        for level in self._levels.values():
            for known in level.lanes.values():
                known.gave_in_last_claim = False
        for kind, priority, tenant, seq in found:
            level = self._levels[kind, priority]
            lane = level.lanes.get(tenant)
            if lane is None:
                if len(level.lanes) >= MAX_LANES:
                    continue
                lane = level.lanes[tenant] = _Lane()
                insort(level.tenants, tenant, key=_index_order)
            lane.highest = max(lane.highest, seq)
            lane.last_found_s = now_s
            lane.gave_in_last_claim = True

    def forget_idle(self, now_s: float) -> None:
        """Forget lanes that gave nothing for a while."""
        for level in self._levels.values():
            idle = [
                tenant for tenant, lane in level.lanes.items() if now_s - lane.last_found_s > FORGET_AFTER_S
            ]
            for tenant in idle:
                del level.lanes[tenant]
                level.tenants.remove(tenant)

    def _level_spans(self, kind: str, priority: int, limit: int, *, sweep: bool) -> list[Span]:
        level = self._levels[kind, priority]
        giving = sum(lane.gave_in_last_claim for lane in level.lanes.values())
        share = limit if giving <= 1 else -(-limit // giving)
        lines, gaps, low = [], [], ("", -1)
        for tenant in level.tenants:
            start = 0 if sweep else level.lanes[tenant].watermark
            gaps.append(Span(kind, priority, low, (tenant, 0), max(share // 4, 1)))
            lines.append(Span(kind, priority, (tenant, start), (tenant, LAST_SEQ), share))
            low = (tenant, LAST_SEQ)
        gaps.append(Span(kind, priority, low, (LAST_TENANT, 0), share))
        level.next_turn += 1
        turn = level.next_turn % max(len(lines), 1)
        lines = lines[turn:] + lines[:turn]
        # Who was never served comes first; every second time, for the gaps may hold more tenants than can be remembered.
        return gaps + lines if level.next_turn % 2 else lines + gaps


def _index_order(tenant: str) -> bytes:
    return tenant.encode("utf-8", "surrogatepass")
