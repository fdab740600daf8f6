"""What happened to a task, when: decided from its row and its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from agent_worker.domain.errors import POSTPONED, PROVIDER_PAUSED
from agent_worker.domain.events import (
    ATTEMPT_FAILED,
    ATTEMPT_START,
    CLIENT_TOOL_REQUEST,
    ERROR,
    HUMAN_REQUEST,
    TEXT_DELTA,
)
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import Record, TaskEvent, TaskRecord
from agent_worker.domain.task import Resume, TaskStatus

_RESUMED: Mapping[str, str] = MappingProxyType(
    {
        Resume.RESCUED: "the worker before died or shut down",
        Resume.POSTPONED: "it was due again",
        Resume.ANSWERED: "what it waited for came",
    }
)


@dataclass(frozen=True, slots=True)
class Moment(Record):
    """One entry of the timeline.

    Attributes:
        after_s: Seconds since the insert.
        what: In two or three words.
        detail: The facts; may be empty.
    """

    at: datetime
    after_s: float
    what: str
    detail: str = ""


def timeline(task: TaskRecord, events: Sequence[TaskEvent], *, workers: Mapping[UUID, str]) -> list[Moment]:
    """Return what happened, in order.

    The row remembers the last claim only; earlier attempts are known by what they said.

    Args:
        task: The row.
        events: All of its events, in order; an attempt's streamed text becomes one moment.
        workers: Names of known workers.
    """
    starts = [event for event in events if event.type == ATTEMPT_START]
    # The row knows the last claim better than its first event does.
    current = starts[-1] if starts and task.started_at is not None else None
    found = [*_from_row(task, workers, current), *_from_events(task, events, current)]
    return [
        Moment(at, (at - task.created_at).total_seconds(), what, detail)
        for at, _, what, detail in sorted(found, key=lambda entry: entry[:2])
    ]


_Entry = tuple[datetime, int, str, str]
"""Time, rank among entries of the same time, what, detail."""


def _from_row(task: TaskRecord, workers: Mapping[UUID, str], current: TaskEvent | None) -> Iterator[_Entry]:
    yield task.created_at, 0, "inserted", _inserted(task)
    if task.started_at is not None:
        yield task.started_at, 3, "claimed", _claimed(task, workers, current)
    if task.cancel_requested_at is not None:
        yield task.cancel_requested_at, 4, "cancel requested", ""
    if task.finished_at is not None:
        yield task.finished_at, 9, task.status.value, _ended(task)


def _inserted(task: TaskRecord) -> str:
    facts = [
        f"priority {task.priority}" if task.priority else "",
        f"not before {task.run_at.isoformat(timespec='seconds')}" if task.run_at else "",
        f"tenant {task.enterprise_id}" if task.enterprise_id else "",
        f"user {task.user_id}" if task.user_id else "",
        f"child of {task.parent_id}" if task.parent_id else "",
    ]
    return " · ".join(filter(None, facts))


def _claimed(task: TaskRecord, workers: Mapping[UUID, str], current: TaskEvent | None) -> str:
    holder = workers.get(task.worker_id, str(task.worker_id)[:8]) if task.worker_id else ""
    reason = _resumed(current) if current is not None else ""
    waited = ""
    if task.attempt == 1 and not reason and task.started_at is not None and task.run_at is None:
        waited = f"waited {precise((task.started_at - task.created_at).total_seconds())}"
    # A task that gave its attempt back counts one less than it said.
    number = task.attempt if current is None else max(task.attempt, current.attempt)
    facts = [
        f"attempt {number} of {task.max_attempts}",
        f"by {holder}" if holder else "",
        reason,
        waited,
    ]
    return " · ".join(filter(None, facts))


def _ended(task: TaskRecord) -> str:
    if task.status is TaskStatus.COMPLETED:
        if task.started_at is None or task.finished_at is None:
            return ""
        return f"ran {precise((task.finished_at - task.started_at).total_seconds())}"
    return _failure(task.response_payload or {})


def _failure(said: JsonObject) -> str:
    return ": ".join(str(said[key]) for key in ("code", "error") if said.get(key))


def _from_events(
    task: TaskRecord, events: Sequence[TaskEvent], current: TaskEvent | None
) -> Iterator[_Entry]:
    spoken: dict[int, list[TaskEvent]] = {}
    for event in events:
        if event.type == TEXT_DELTA:
            spoken.setdefault(event.attempt, []).append(event)
        elif event.type == ERROR:
            if event.attempt < task.attempt:  # ended so once, and was run again since
                yield event.created_at, 5, "failed", f"{event.data.get('code')}: {event.data.get('message')}"
        elif event is not current and (told := _told(event)) is not None:
            yield event.created_at, 5, *told
    for deltas in spoken.values():
        length = sum(len(str(event.data.get("delta", ""))) for event in deltas)
        lasted = precise((deltas[-1].created_at - deltas[0].created_at).total_seconds())
        yield deltas[0].created_at, 4, "first text", f"{length} characters within {lasted}"


def _told(event: TaskEvent) -> tuple[str, str] | None:
    data = event.data
    if event.type == ATTEMPT_START:
        return f"attempt {event.attempt} began", _resumed(event)
    if event.type == ATTEMPT_FAILED:
        again = precise(float(str(data.get("retryInS", 0))))
        ended = "postponed" if data.get("code") in {POSTPONED, PROVIDER_PAUSED} else "failed"
        return f"attempt {event.attempt} {ended}", f"{_failure(data)} · again in {again}"
    if event.type == HUMAN_REQUEST:
        return "asked a person", str(data.get("title", ""))
    if event.type == CLIENT_TOOL_REQUEST:
        return "asked the client", "to run its tools"
    return None


def _resumed(start: TaskEvent) -> str:
    return _RESUMED.get(str(start.data.get("resume", "")), "")


def precise(seconds: float) -> str:
    """Write a span with what matters at its size: `12 ms`, `1.24 s`, `75 s`, `5.2 min`, `3.1 h`."""
    seconds = max(seconds, 0.0)
    steps = ((1, "ms", 0.001, 0), (10, "s", 1, 2), (120, "s", 1, 0), (7200, "min", 60, 1))
    for limit_s, unit, length_s, digits in steps:
        if seconds < limit_s:
            return f"{seconds / length_s:.{digits}f} {unit}"
    return f"{seconds / 3600:.1f} h"
