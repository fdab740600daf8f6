"""The first line of `agent-worker status`: healthy, or the one thing that is wrong and what mends it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.domain.health import (
    FleetStatus,
    QueuedKind,
    Recent,
    StuckTask,
    WorkerRow,
    age,
    diagnose,
)

CHAT = QueuedKind("chat", 12, 0.4, is_known=True)


def a_worker(**facts: Any) -> WorkerRow:
    given = {
        "id": uuid4(),
        "name": "w1",
        "host": "h",
        "pid": 1,
        "kinds": ("chat", "echo"),
        "concurrency": 10,
        "in_flight": 3,
        "state": "running",
        "version": "0.1.0",
        "lease_s": 30.0,
        "heartbeat_age_s": 2.0,
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        **facts,
    }
    return WorkerRow(**given)


def a_fleet(**facts: Any) -> FleetStatus:
    return FleetStatus(**{"workers": (a_worker(),), **facts})


def test_a_healthy_fleet_tells_its_figures() -> None:
    diagnosis = diagnose(
        a_fleet(
            workers=(a_worker(name="a"), a_worker(name="b"), a_worker(name="c", state="draining")),
            queued=(CHAT,),
            recent=Recent(completed=800, completed_1_min=41),
        )
    )
    assert diagnosis.healthy
    assert (
        diagnosis.sentence
        == "healthy · 3 workers · 12 waiting (oldest 0.4 s) · 41 done/min · 0 failed in 1 h"
    )
    assert diagnosis.command is None


def test_an_idle_fleet_is_healthy() -> None:
    assert diagnose(a_fleet()).sentence == "healthy · 1 worker · 0 waiting · 0 done/min · 0 failed in 1 h"


def test_a_fleet_too_busy_to_count_an_hour_says_how_far_it_counted() -> None:
    busy = Recent(window_s=20.0, completed=50_000, failed=3, completed_1_min=50_000)
    assert diagnose(a_fleet(recent=busy)).sentence.endswith("· 150000 done/min · 3 failed in 20 s")


@pytest.mark.parametrize(
    ("facts", "sentence", "command"),
    [
        ({"workers": ()}, "no worker is running · 0 waiting", "agent-worker run"),
        (
            {"workers": (a_worker(state="lost"),), "queued": (CHAT,), "orphaned": 3},
            "no worker is running · 12 waiting (oldest 0.4 s)",
            "agent-worker run",
        ),
        (
            {"workers": (a_worker(state="draining"),), "queued": (CHAT,)},
            "all workers are draining · 12 waiting (oldest 0.4 s)",
            "agent-worker run",
        ),
        (
            {"queued": (CHAT, QueuedKind("chta", 1, 5.0, is_known=False))},
            "1 task is of a kind no worker ever offered (chta) · they fail in a minute",
            "agent-worker tasks list --status pending --kind chta",
        ),
        (
            {
                "queued": (
                    QueuedKind("voice", 7, 180.0, is_known=True),
                    QueuedKind("image", 2, 9.0, is_known=True),
                )
            },
            "no running worker offers voice, image · 9 waiting (oldest 3 min)",
            "agent-worker run --kinds voice,image",
        ),
        (
            {
                "workers": (a_worker(), a_worker(kinds=("voice",), state="draining")),
                "queued": (QueuedKind("voice", 1, 1.0, is_known=True),),
            },
            "no running worker offers voice · 1 waiting (oldest 1.0 s)",
            "agent-worker run --kinds voice",
        ),
        (
            {"orphaned": 2},
            "2 tasks are held by a worker that is gone · others take over within seconds",
            None,
        ),
        (
            {
                "overdue": 1,
                "stuck": (
                    StuckTask(UUID(int=1), "chat", uuid4(), None, is_orphan=True, running_s=900.0),
                    StuckTask(UUID(int=2), "chat", uuid4(), "w1", is_orphan=False, running_s=700.0),
                ),
            },
            "1 task is running past the time limit on w1, for 12 min · the code cannot be stopped",
            f"agent-worker tasks show {UUID(int=2)}",
        ),
        (
            {"queued": (QueuedKind("chat", 12, 61.0, is_known=True),)},
            "12 waiting (oldest 1 min) although 7 slots are free",
            "agent-worker doctor",
        ),
        (
            {"queued": (QueuedKind("chat", 12, 301.0, is_known=True),), "workers": (a_worker(in_flight=10),)},
            "every slot is busy, and none got free in the last minute · 12 waiting (oldest 5 min)",
            "agent-worker run",
        ),
        (
            {"recent": Recent(completed=3, failed=37, top_failure="rate_limited")},
            "37 of 40 tasks failed in 1 h, most with rate_limited",
            "agent-worker tasks list --status failed --since 1h",
        ),
    ],
)
def test_the_one_thing_that_is_wrong_comes_with_the_command_that_mends_it(
    facts: dict[str, Any], sentence: str, command: str | None
) -> None:
    diagnosis = diagnose(a_fleet(**facts))
    assert not diagnosis.healthy
    assert diagnosis.sentence == sentence
    assert diagnosis.command == command


def test_tasks_that_wait_long_for_an_overloaded_provider_are_told() -> None:
    diagnosis = diagnose(a_fleet(scheduled=100, postponed=90, postponed_s=720.0))
    assert diagnosis.sentence == (
        "90 tasks are waiting for an overloaded provider (oldest 12 min) · they go on by themselves"
    )
    assert diagnosis.command == "agent-worker tasks list --status pending"


@pytest.mark.parametrize(
    "facts",
    [
        {"queued": (QueuedKind("chat", 12, 900.0, is_known=True, is_limited=True),)},
        {"queued": (QueuedKind("chat", 12, 59.0, is_known=True),)},
        {
            "queued": (QueuedKind("chat", 90_000, 4_000.0, is_known=True),),
            "workers": (a_worker(in_flight=10),),
            "recent": Recent(completed_1_min=5, completed=300),
        },
        {"queued": (QueuedKind("chat", 12, 100.0, is_known=True),), "workers": (a_worker(in_flight=10),)},
        {"recent": Recent(completed=0, failed=4)},
        {"recent": Recent(completed=100, failed=100)},
        {"workers": (a_worker(), a_worker(state="lost"))},
        {"waiting": 4_000, "scheduled": 100},
        {"scheduled": 100, "postponed": 90, "postponed_s": 59.0},
    ],
    ids=[
        "held back by a limit",
        "new",
        "long queue that moves",
        "short queue",
        "few failures",
        "half fail",
        "one lost",
        "parked",
        "just postponed",
    ],
)
def test_what_passes_by_itself_is_no_alarm(facts: dict[str, Any]) -> None:
    assert diagnose(a_fleet(**facts)).healthy


def test_names_of_many_kinds_are_cut() -> None:
    queued = tuple(QueuedKind(kind, 1, 1.0, is_known=True) for kind in ("p", "q", "r", "s", "t"))
    assert diagnose(a_fleet(queued=queued)).sentence.startswith(
        "no running worker offers p, q, r and 2 more ·"
    )


def test_a_kind_cannot_smuggle_a_command_or_an_escape_sequence_into_the_operators_terminal() -> None:
    diagnosis = diagnose(a_fleet(queued=(QueuedKind("x; rm -rf ~", 1, 1.0, is_known=False),)))
    assert diagnosis.command == "agent-worker tasks list --status pending --kind 'x; rm -rf ~'"
    diagnosis = diagnose(a_fleet(queued=(QueuedKind("x\x1b[2J", 1, 1.0, is_known=True),)))
    assert "\x1b" not in diagnosis.sentence
    assert "\x1b" not in str(diagnosis.command)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3_599.0, "1 h"),
        (3_600.0, "1 h"),
        (7_300.0, "2 h"),
        (86_399.0, "1 d"),
        (200_000.0, "2 d"),
    ],
)
def test_a_span_is_written_with_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_status_prints_as_json() -> None:
    stuck = StuckTask(uuid4(), "chat", None, None, is_orphan=True, running_s=1.0)
    printed = json.loads(json.dumps(a_fleet(queued=(CHAT,), stuck=(stuck,)).as_json()))
    assert printed["queued"] == [
        {
            "kind": "chat",
            "count": 12,
            "oldest_s": 0.4,
            "is_known": True,
            "is_paused": False,
            "is_limited": False,
        }
    ]
    assert printed["workers"][0]["kinds"] == ["chat", "echo"]
    assert printed["stuck"][0]["id"] == str(stuck.id)


def test_a_paused_kind_is_told_and_is_nothing_wrong() -> None:
    paused = QueuedKind("chat", 12, 900.0, is_known=True, is_paused=True, is_limited=True)
    diagnosis = diagnose(FleetStatus(queued=(paused,), workers=(a_worker(),)))
    assert diagnosis.healthy
    assert diagnosis.sentence.startswith("healthy · chat paused · 1 worker · 12 waiting")
