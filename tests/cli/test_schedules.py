"""Add, list and remove schedules."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import psycopg
import pytest

from tests.cli.program import Program

pytestmark = pytest.mark.slow

NOBODY = "note: no live worker offers echo · the task waits for one · run: agent-worker run\n"


def write(program: Program, query: str) -> None:
    """Change the table by hand."""
    assert program.url is not None
    with psycopg.connect(program.url, autocommit=True) as conn:
        conn.execute(query.encode())


def test_add_list_and_remove(program: Program) -> None:
    assert program("schedules", "list").out == "no schedules\n"

    zone, payload = ("--timezone", "Europe/Berlin"), ("--payload", '{"prompt": "Good morning"}')
    added = program("schedules", "add", "report", "--cron", "0 7 * * *", *zone, "--kind", "echo", *payload)
    assert (added.code, added.err) == (0, NOBODY)
    assert re.fullmatch(r"report fires in \d+ (s|min|h), \w{3} \d\d:\d\d \S+\n", added.out)

    listed = program("schedules", "list")
    assert re.search(r"^report +0 7 \* \* \* Europe/Berlin +echo +- +in \d+ ", listed.out, re.MULTILINE)
    assert max(map(len, listed.out.splitlines())) <= 80

    (row,) = program("schedules", "list", "--json").json
    assert (row["name"], row["cron"], row["timezone"]) == ("report", "0 7 * * *", "Europe/Berlin")
    assert row["request_payload"] == {"prompt": "Good morning"}
    assert datetime.fromisoformat(row["next_fire_at"]) > datetime.now(UTC)

    assert program("schedules", "remove", "report").out == "report is removed\n"
    again = program("schedules", "remove", "report")
    assert (again.code, again.out) == (2, "")
    assert again.err == "error: there is no schedule 'report' · see: agent-worker schedules list\n"


def test_a_taken_name_tells_to_remove_it_or_to_write_over_it(program: Program) -> None:
    command = ("schedules", "add", "report", "--cron", "@daily", "--kind")
    program(*command, "echo")

    refused = program(*command, "chat")
    assert (refused.code, refused.out) == (2, "")
    assert (
        "there is a schedule 'report' already · remove it first: agent-worker schedules remove" in refused.err
    )

    replaced = program(*command, "chat", "--priority", "3", "--replace", "--json").json
    assert (replaced["kind"], replaced["priority"]) == ("chat", 3)
    assert len(program("schedules", "list", "--json").json) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--cron", "61 * * * *"), "the cron '61 * * * *' has a bad minute · write minute, hour"),
        (("--cron", "@daily", "--timezone", "Europe/Berln"), "did you mean Europe/Berlin?"),
        (("--cron", "@daily", "--priority", "11"), "priority must be 0 to 9"),
        (("--cron", "@daily", "--user", "me"), "Invalid value for '--user'"),
    ],
)
def test_what_means_nothing_is_refused(program: Program, arguments: tuple[str, ...], problem: str) -> None:
    done = program("schedules", "add", "report", "--kind", "echo", *arguments)

    assert (done.code, done.out) == (2, "")
    assert problem in done.err
    assert program("schedules", "list", "--json").json == []


def test_list_shows_what_rests_and_why(program: Program) -> None:
    write(
        program,
        """
        INSERT INTO agent_worker.schedules (name, cron, timezone, kind, enabled, next_fire_at, error) VALUES
          ('bad', '61 * * * *', 'UTC', 'echo', true, NULL, 'the cron ''61 * * * *'' has a bad minute'),
          ('new', '@daily', 'UTC', 'echo', true, NULL, NULL),
          ('off', '@daily', 'UTC', 'echo', false, now() + interval '1 day', NULL),
          ('unseen', '@daily', 'Mars/Olympus', 'echo', true, now() - interval '1 day', NULL)
        """,
    )

    listed = program("schedules", "list").out

    assert re.search(r"^bad .*never: see below$", listed, re.MULTILINE)
    assert re.search(r"^new .*soon: no worker has seen it$", listed, re.MULTILINE)
    assert re.search(r"^off .*never: it is off$", listed, re.MULTILINE)
    assert re.search(r"^unseen .*Mars/Olympus .*due 1 d ago$", listed, re.MULTILINE)
    assert listed.endswith("\nbad: the cron '61 * * * *' has a bad minute\n")


def test_a_worker_fires_what_was_added(fleet: Program) -> None:
    fleet(
        "schedules",
        "add",
        "report",
        "--cron",
        "@yearly",
        "--kind",
        "echo",
        "--payload",
        '{"prompt": "Happy"}',
    )
    write(
        fleet, "UPDATE agent_worker.schedules SET next_fire_at = now() - interval '400 days', enabled = true"
    )
    write(fleet, "NOTIFY agent_worker, 'schedule'")

    (fired,) = fleet.background[0].until("schedule.fired")

    shown = fleet("tasks", "show", fired["task_id"], "--json").json
    assert shown["request_payload"] == {"prompt": "Happy"}
    assert fired["schedule"] == "report"
    assert re.search(
        r"^report +@yearly +echo +\d+ \w+ ago +in ", fleet("schedules", "list").out, re.MULTILINE
    )
