"""Dead tasks: find them by kind, code and age, and run thousands again, as an operator does."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.cli.program import Program, until

pytestmark = pytest.mark.slow

FAILED = 3_000
FILL = """
    INSERT INTO public.agent_task_requests (
      kind, status, worker_id, attempt, response_payload, started_at, finished_at, updated_at
    )
    SELECT CASE WHEN n %% 3 = 0 THEN 'echo' ELSE 'chat' END, 'failed', gen_random_uuid(), 3,
           agent_worker.failure('It failed.', CASE WHEN n %% 2 = 0 THEN 'timeout' ELSE 'rate_limited' END, true),
           ended, ended, ended
    FROM generate_series(0, %s - 1) n, LATERAL (SELECT now() - make_interval(mins => n / 10)) e (ended)
"""

Conn = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def dead(program: Program) -> Iterator[Conn]:
    """3,000 dead tasks and nobody who would run them: ten of every minute, the oldest five hours old."""
    assert program.url is not None
    with psycopg.connect(program.url, autocommit=True) as conn:
        conn.execute(FILL, [FAILED])
        yield conn


def pending(conn: Conn) -> int:
    return int(
        conn.execute("SELECT count(*) FROM agent_task_requests WHERE status = 'pending'").fetchall()[0][0]
    )


def test_list_chooses_by_kind_code_and_age(program: Program, dead: Conn) -> None:
    chosen = ("--status", "failed", "--kind", "echo", "--code", "timeout", "--since", "1h")
    rows = program("tasks", "list", *chosen, "--limit", "1000", "--json").json["rows"]

    assert len(rows) == 100
    assert {(row["kind"], row["code"]) for row in rows} == {("echo", "timeout")}
    assert program("tasks", "list", "--code", "unheard").out == "no tasks\n"


def test_a_dry_run_counts_and_changes_nothing(program: Program, dead: Conn) -> None:
    done = program("tasks", "retry", "--all-failed", "--since", "2h", "--dry-run")

    assert done.code == 0
    assert re.search(r"^chat +4\d\d +rate_limited$", done.out, re.MULTILINE)
    assert re.search(r"^1[12]\d\d would run again$", done.out, re.MULTILINE)
    assert pending(dead) == 0


def test_three_thousand_run_again_by_filters_and_then_all(program: Program, dead: Conn) -> None:
    chosen = ("--all-failed", "--kind", "echo", "--code", "timeout")
    assert program("tasks", "retry", *chosen, "--limit", "10").out == "10 run again\n"
    assert program("tasks", "retry", *chosen, "--json").json == {
        "matched": 490,
        "retried": 490,
        "skipped": 0,
        "groups": [{"kind": "echo", "code": "timeout", "tasks": 490}],
    }
    assert pending(dead) == 500

    assert program("tasks", "retry", "--all-failed").out == "2500 run again\n"
    assert pending(dead) == FAILED
    assert program("tasks", "retry", "--all-failed").out == "no such tasks\n"


def test_an_interrupted_redrive_says_how_far_it_came_and_the_same_again_does_the_rest(
    program: Program, dead: Conn
) -> None:
    assert program.url is not None
    with psycopg.connect(program.url) as holder:
        holder.execute(
            "SELECT 1 FROM agent_task_requests ORDER BY finished_at DESC, id DESC LIMIT 1 FOR UPDATE"
        )
        running = program.start("tasks", "retry", "--all-failed")
        until(lambda: pending(dead) == FAILED - 500)
        running.process.send_signal(signal.SIGINT)
        assert running.wait() == 130
        holder.rollback()

    assert (
        running.err.read_text() == "note: stopped after 2500 of 3000 · the same command again does the rest\n"
    )
    assert pending(dead) == FAILED - 500

    assert program("tasks", "retry", "--all-failed").out == "500 run again\n"
    assert pending(dead) == FAILED


def test_a_taken_dedupe_key_is_left_and_told(program: Program, dead: Conn) -> None:
    dead.execute(
        "UPDATE agent_task_requests SET dedupe_key = 'one' WHERE kind = 'echo' AND updated_at > now() - interval '1 min'"
    )
    dead.execute("INSERT INTO agent_task_requests (kind, dedupe_key) VALUES ('echo', 'one')")

    done = program("tasks", "retry", "--all-failed", "--since", "1m")

    retried, left = (int(line.split()[0]) for line in done.out.splitlines())
    assert left > 0
    assert pending(dead) == retried + 1
    assert "an unfinished task has their dedupe key" in done.out
