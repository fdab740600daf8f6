"""How the fleet stands, in one sentence: healthy, or the one thing that is wrong and the command that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from agent_worker.domain.records import Record

STARVING_S = 60.0
"""A task that waits longer although a slot is free is no longer waiting its turn."""
QUEUED_S = 300.0
"""A task that waits longer behind busy slots, while nothing finishes, needs more workers."""
FAILING_AT_LEAST = 5
FAILING_SHARE = 0.5
"""More than this share of the tasks that ended in the last hour, and so many of them, failed: something is broken."""


@dataclass(frozen=True, slots=True)
class QueuedKind(Record):
    """Due tasks of one kind that wait for a worker.

    Attributes:
        oldest_s: Seconds the first in line has waited.
        is_known: Whether any worker ever offered the kind; tasks of an unknown one fail after a minute.
        is_paused: Whether somebody paused the kind.
        is_limited: Whether limits may hold its tasks back.
    """

    kind: str
    count: int
    oldest_s: float
    is_known: bool
    is_paused: bool = False
    is_limited: bool = False


@dataclass(frozen=True, slots=True)
class StuckTask(Record):
    """A task that is processing and should not be.

    Attributes:
        worker: Name of its holder; None when no row of it is left.
        is_orphan: Its holder is gone; otherwise it runs past its time limit.
        running_s: Seconds since it was claimed.
    """

    id: UUID
    kind: str
    worker_id: UUID | None
    worker: str | None
    is_orphan: bool
    running_s: float


@dataclass(frozen=True, slots=True)
class Recent(Record):
    """What ended lately.

    Attributes:
        window_s: How far back the counts reach: an hour, or less on a fleet too busy to count an hour.
        completed_1_min: Completed in the last minute, as far as the window reaches.
        top_failure: The code most failures have.
    """

    window_s: float = 3600.0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    completed_1_min: int = 0
    top_failure: str | None = None

    @property
    def done_per_min(self) -> float:
        """Tasks completed per minute: counted, or reckoned from a window shorter than a minute."""
        if 0 < self.window_s < 60:  # noqa: PLR2004 - seconds of a minute
            return self.completed * 60.0 / self.window_s
        return float(self.completed_1_min)

    @property
    def is_failing(self) -> bool:
        """Whether so many tasks fail that it is no accident."""
        ended = self.completed + self.failed
        return self.failed >= FAILING_AT_LEAST and self.failed > FAILING_SHARE * ended


@dataclass(frozen=True, slots=True)
class WorkerRow(Record):
    """One worker. `state` is running, draining, stopped or lost (silent for longer than its lease)."""

    id: UUID
    name: str
    host: str
    pid: int
    kinds: tuple[str, ...]
    concurrency: int
    in_flight: int
    state: str
    version: str
    lease_s: float
    heartbeat_age_s: float
    started_at: datetime

    @property
    def is_alive(self) -> bool:
        """Whether it holds its lease."""
        return self.state in {"running", "draining"}

    @property
    def free(self) -> int:
        """Tasks it could take now."""
        return max(self.concurrency - self.in_flight, 0) if self.state == "running" else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus(Record):
    """The fleet at one moment, by the database's clock.

    Attributes:
        queued: Due tasks that wait for a worker, by kind.
        scheduled: Pending tasks whose time has not come: `run_at`, or the wait before another attempt.
        postponed: Those of the scheduled that wait because a provider is paused.
        postponed_s: Seconds since the first of them was inserted.
        processing: Tasks that a worker holds.
        waiting: Tasks parked for a person, a client tool or a child.
        orphaned: Tasks whose holder is gone; any living worker takes them back.
        overdue: Tasks that run past their time limit.
        stuck: The first of the orphaned and overdue ones, longest first.
        workers: The living, and those that vanished in the last hour, by name.
    """

    queued: tuple[QueuedKind, ...] = ()
    scheduled: int = 0
    postponed: int = 0
    postponed_s: float = 0.0
    processing: int = 0
    waiting: int = 0
    orphaned: int = 0
    overdue: int = 0
    stuck: tuple[StuckTask, ...] = ()
    recent: Recent = Recent()
    workers: tuple[WorkerRow, ...] = ()

    @property
    def pending(self) -> int:
        """Due tasks that wait for a worker."""
        return sum(lane.count for lane in self.queued)

    @property
    def oldest(self) -> QueuedKind | None:
        """The kind whose first in line has waited longest."""
        return max(self.queued, key=lambda lane: lane.oldest_s, default=None)

    @property
    def alive(self) -> tuple[WorkerRow, ...]:
        """Workers that hold their lease."""
        return tuple(worker for worker in self.workers if worker.is_alive)

    def offering(self, kind: str) -> tuple[WorkerRow, ...]:
        """Workers that hold their lease and take tasks of a kind."""
        return tuple(worker for worker in self.alive if kind in worker.kinds)

    @property
    def unknown(self) -> tuple[QueuedKind, ...]:
        """Queued kinds that no worker ever offered."""
        return tuple(lane for lane in self.queued if not lane.is_known)

    @property
    def unserved(self) -> tuple[QueuedKind, ...]:
        """Queued kinds that workers offered once, and none that runs offers now."""
        offered = {kind for worker in self.workers if worker.state == "running" for kind in worker.kinds}
        return tuple(lane for lane in self.queued if lane.is_known and lane.kind not in offered)


@dataclass(frozen=True, slots=True)
class Diagnosis(Record):
    """The first line of `agent-worker status`.

    Attributes:
        sentence: What is wrong first of all, or the fleet's figures.
        command: What mends it, ready to paste; None when nothing has to be done.
    """

    healthy: bool
    sentence: str
    command: str | None = None


def diagnose(status: FleetStatus) -> Diagnosis:
    """Say what is wrong, worst first: nobody works, nobody offers a kind, tasks are stuck or put off, most fail."""
    return (
        _nobody_works(status)
        or _nobody_offers(status)
        or _held_by_the_dead(status)
        or _past_their_limit(status)
        or _put_off(status)
        or _not_taken(status)
        or _most_fail(status)
        or Diagnosis(healthy=True, sentence=f"healthy · {_figures(status)}")
    )


def _nobody_works(status: FleetStatus) -> Diagnosis | None:
    if any(worker.state == "running" for worker in status.workers):
        return None
    absence = "all workers are draining" if status.alive else "no worker is running"
    return Diagnosis(healthy=False, sentence=f"{absence} · {_line(status)}", command="agent-worker run")


def _nobody_offers(status: FleetStatus) -> Diagnosis | None:
    if status.unknown:
        names = _names(status.unknown)
        count = sum(lane.count for lane in status.unknown)
        return Diagnosis(
            healthy=False,
            sentence=f"{_tasks(count)} of a kind no worker ever offered ({names}) · they fail in a minute",
            command=f"agent-worker tasks list --status pending --kind {_pasted(status.unknown[:1])}",
        )
    if status.unserved:
        count = sum(lane.count for lane in status.unserved)
        oldest_s = max(lane.oldest_s for lane in status.unserved)
        names = _names(status.unserved)
        return Diagnosis(
            healthy=False,
            sentence=f"no running worker offers {names} · {count} waiting (oldest {age(oldest_s)})",
            command=f"agent-worker run --kinds {_pasted(status.unserved)}",
        )
    return None


def _held_by_the_dead(status: FleetStatus) -> Diagnosis | None:
    if not status.orphaned:
        return None
    return Diagnosis(
        healthy=False,
        sentence=f"{_tasks(status.orphaned)} held by a worker that is gone · others take over within seconds",
    )


def _past_their_limit(status: FleetStatus) -> Diagnosis | None:
    if not status.overdue:
        return None
    first = next((task for task in status.stuck if not task.is_orphan), None)
    where = f" on {first.worker}, for {age(first.running_s)}" if first else ""
    return Diagnosis(
        healthy=False,
        sentence=f"{_tasks(status.overdue)} running past the time limit{where} · the code cannot be stopped",
        command=f"agent-worker tasks show {first.id}"
        if first
        else "agent-worker tasks list --status processing",
    )


def _put_off(status: FleetStatus) -> Diagnosis | None:
    if not status.postponed or status.postponed_s < STARVING_S:
        return None
    return Diagnosis(
        healthy=False,
        sentence=f"{_tasks(status.postponed)} waiting for an overloaded provider (oldest {age(status.postponed_s)})"
        " · they go on by themselves",
        command="agent-worker tasks list --status pending",
    )


def _not_taken(status: FleetStatus) -> Diagnosis | None:
    free_to_start = (lane for lane in status.queued if not lane.is_limited)
    oldest = max(free_to_start, key=lambda lane: lane.oldest_s, default=None)
    if oldest is None or oldest.oldest_s < STARVING_S:
        return None
    free = sum(worker.free for worker in status.workers if oldest.kind in worker.kinds)
    if free:
        return Diagnosis(
            healthy=False,
            sentence=f"{_line(status)} although {free} {'slot is' if free == 1 else 'slots are'} free",
            command="agent-worker doctor",
        )
    if oldest.oldest_s >= QUEUED_S and not status.recent.completed_1_min:
        return Diagnosis(
            healthy=False,
            sentence=f"every slot is busy, and none got free in the last minute · {_line(status)}",
            command="agent-worker run",
        )
    return None


def _most_fail(status: FleetStatus) -> Diagnosis | None:
    recent = status.recent
    if not recent.is_failing:
        return None
    reason = f", most with {recent.top_failure}" if recent.top_failure else ""
    ended = recent.completed + recent.failed
    return Diagnosis(
        healthy=False,
        sentence=f"{recent.failed} of {ended} tasks failed in {age(recent.window_s)}{reason}",
        command="agent-worker tasks list --status failed --since 1h",
    )


def _figures(status: FleetStatus) -> str:
    workers = len(status.alive)
    recent = status.recent
    paused = [lane for lane in status.queued if lane.is_paused]
    return " · ".join(
        (
            *([f"{_names(paused)} paused"] if paused else []),
            f"{workers} {'worker' if workers == 1 else 'workers'}",
            _line(status),
            f"{recent.done_per_min:.0f} done/min",
            f"{recent.failed} failed in {age(recent.window_s)}",
        )
    )


def _line(status: FleetStatus) -> str:
    oldest = status.oldest
    return f"{status.pending} waiting (oldest {age(oldest.oldest_s)})" if oldest else "0 waiting"


def _tasks(count: int) -> str:
    return "1 task is" if count == 1 else f"{count} tasks are"


def _names(lanes: Sequence[QueuedKind]) -> str:
    shown = ", ".join(_printable(lane.kind) for lane in lanes[:3])
    return f"{shown} and {len(lanes) - 3} more" if len(lanes) > 3 else shown  # noqa: PLR2004 - what a line holds


def _pasted(lanes: Sequence[QueuedKind]) -> str:
    # A kind is whatever a client wrote, and this ends up in somebody's shell.
    return shlex.quote(",".join(_printable(lane.kind) for lane in lanes))


def _printable(kind: str) -> str:
    return kind if kind.isprintable() else ascii(kind)


def age(seconds: float) -> str:
    """Write a span for a person: `0.4 s`, `12 s`, `5 min`, `1 h`, `3 d`."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:  # noqa: PLR2004 - below ten seconds a tenth matters
        return f"{seconds:.1f} s"
    for unit, length_s, limit_s in (("s", 1.0, 60.0), ("min", 60.0, 3600.0), ("h", 3600.0, 86_400.0)):
        if round(seconds / length_s) * length_s < limit_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
