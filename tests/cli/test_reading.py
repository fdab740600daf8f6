"""What is typed and what is shown, as pure functions: times, spans, short ids, timelines, log lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import typer

from agent_worker.cli.options import moment
from agent_worker.cli.screen import ago, one_line, short_ids, size
from agent_worker.cli.timeline import precise, timeline
from agent_worker.domain.records import TaskEvent, TaskRecord
from agent_worker.domain.task import TaskStatus
from agent_worker.telemetry.logs import ConsoleLines

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORKER = UUID(int=7)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        (" 1.5 H ", NOW - timedelta(hours=1.5)),
        ("2d", NOW - timedelta(days=2)),
        ("2026-04-30T10:00:00+02:00", datetime(2026, 4, 30, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_span_from_now_or_a_time(text: str, expected: datetime) -> None:
    assert moment(text, now=NOW, is_past=True) == expected


def test_a_span_counts_forward_for_what_is_to_come() -> None:
    assert moment("10m", now=NOW, is_past=False) == NOW + timedelta(minutes=10)


@pytest.mark.parametrize("text", ["", "soon", "9999", "1y", "-1h", "999999999d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time"):
        moment(text, now=NOW, is_past=False)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 ms"), (0.0124, "12 ms"), (1.239, "1.24 s"), (75, "75 s"), (312, "5.2 min"), (11_160, "3.1 h")],
)
def test_a_span_shows_what_matters_at_its_size(seconds: float, text: str) -> None:
    assert precise(seconds) == text


def test_times_are_told_from_now() -> None:
    assert ago(NOW - timedelta(seconds=12), now=NOW) == "12 s ago"
    assert ago(NOW + timedelta(minutes=5), now=NOW) == "in 5 min"
    assert ago(None) == "-"


def test_short_ids_are_as_long_as_it_takes_to_tell_them_apart() -> None:
    first, second = UUID("aaaaaaaa-b000-4000-8000-000000000001"), UUID("aaaaaaaa-bc00-4000-8000-000000000001")

    assert short_ids([first]) == {first: "aaaaaaaa"}
    assert short_ids([first, second]) == {first: "aaaaaaaa-b0", second: "aaaaaaaa-bc"}
    assert short_ids([]) == {}


def test_text_of_a_task_cannot_move_the_cursor() -> None:
    assert one_line("a\n\tb \x1b[31mred\x07") == "a b [31mred"
    assert size("ä" * 600) == "1.2 kB"


def record(**columns: object) -> TaskRecord:
    values: dict[str, object] = {
        **dict.fromkeys(TaskRecord.__slots__),
        "id": UUID(int=1),
        "kind": "chat",
        "status": TaskStatus.COMPLETED,
        "request_payload": {},
        "priority": 0,
        "attempt": 1,
        "max_attempts": 3,
        "created_at": NOW,
        "updated_at": NOW,
        **columns,
    }
    return TaskRecord(**values)  # type: ignore[arg-type]  # the columns are a test's


def event(seq: int, after_s: float, name: str, attempt: int, **data: object) -> TaskEvent:
    return TaskEvent(seq, name, data, attempt, NOW + timedelta(seconds=after_s))  # type: ignore[arg-type]


def test_a_timeline_tells_attempts_their_failures_and_the_end() -> None:
    task = record(
        attempt=2,
        worker_id=WORKER,
        started_at=NOW + timedelta(seconds=3),
        finished_at=NOW + timedelta(seconds=5),
    )
    events = [
        event(1, 0.1, "attempt-start", 1, resume="fresh"),
        event(2, 0.2, "text-delta", 1, delta="Hel"),
        event(3, 0.4, "text-delta", 1, delta="lo"),
        event(4, 1, "attempt-failed", 1, code="rate_limited", error="Too many.", retryInS=2),
        event(5, 3.1, "attempt-start", 2, resume="rescued"),
    ]

    told = [
        (entry.after_s, entry.what, entry.detail) for entry in timeline(task, events, workers={WORKER: "w"})
    ]

    assert told == [
        (0, "inserted", ""),
        (0.1, "attempt 1 began", ""),
        (0.2, "first text", "5 characters within 200 ms"),
        (1, "attempt 1 failed", "rate_limited: Too many. · again in 2.00 s"),
        (3, "claimed", "attempt 2 of 3 · by w · the worker before died or shut down"),
        (5, "completed", "ran 2.00 s"),
    ]


def test_a_timeline_of_a_postponed_task_names_its_attempt_and_what_it_waits_for() -> None:
    task = record(attempt=0, status=TaskStatus.PENDING, started_at=NOW + timedelta(seconds=3))
    events = [
        event(1, 3.1, "attempt-start", 1, resume="postponed"),
        event(2, 3.2, "attempt-failed", 1, code="provider_paused", error="Overloaded.", retryInS=4),
    ]

    told = [(entry.what, entry.detail) for entry in timeline(task, events, workers={})]

    assert told == [
        ("inserted", ""),
        ("claimed", "attempt 1 of 3 · it was due again"),
        ("attempt 1 postponed", "provider_paused: Overloaded. · again in 4.00 s"),
    ]


def test_a_timeline_of_a_failure_says_why_and_what_was_redriven() -> None:
    task = record(
        attempt=2,
        max_attempts=4,
        status=TaskStatus.CANCELLED,
        cancel_requested_at=NOW + timedelta(seconds=8),
        finished_at=NOW + timedelta(seconds=9),
        response_payload={"code": "cancelled", "error": "Somebody stopped it."},
        priority=5,
    )
    events = [
        event(1, 2, "error", 1, code="timeout", message="Too slow."),
        event(2, 4, "human-request", 2, title="OK?"),
    ]

    told = [(entry.what, entry.detail) for entry in timeline(task, events, workers={})]

    assert told == [
        ("inserted", "priority 5"),
        ("failed", "timeout: Too slow."),
        ("asked a person", "OK?"),
        ("cancel requested", ""),
        ("cancelled", "cancelled: Somebody stopped it."),
    ]


def test_a_log_line_for_people_is_short_and_complete() -> None:
    facts = {
        "timestamp": "12:00:00",
        "event": "task.claimed",
        "level": "info",
        "worker": "left out",
        "task_id": str(UUID(int=1)),
        "kinds": ["a", "b"],
    }

    assert ConsoleLines(colours=False)(None, "info", dict(facts)) == (
        "12:00:00 task.claimed      task_id=00000000 kinds=a,b"
    )
    coloured = ConsoleLines(colours=True)(None, "warning", {**facts, "level": "warning", "exception": "Boom"})
    assert "\x1b[33mtask.claimed" in coloured
    assert coloured.endswith("\nBoom")
