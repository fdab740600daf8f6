"""Submit, list, show, cancel and retry, against a live worker."""

from __future__ import annotations

import json
import re

import psycopg
import pytest

from tests.cli.program import Program, until

pytestmark = pytest.mark.slow

FIELDS = {
    "id",
    "kind",
    "status",
    "priority",
    "attempt",
    "max_attempts",
    "error",
    "code",
    "created_at",
    "updated_at",
}


def submit(fleet: Program, *arguments: str) -> str:
    done = fleet("submit", *arguments)
    assert (done.code, done.err) == (0, "")
    return done.out.strip()


def status_of(fleet: Program, task_id: str) -> str:
    assert fleet.url is not None
    with psycopg.connect(fleet.url) as conn:
        rows = conn.execute("SELECT status FROM agent_task_requests WHERE id = %s", [task_id]).fetchall()
    return str(rows[0][0])


def test_submit_prints_the_id_or_the_answer_or_the_text_as_it_comes(fleet: Program) -> None:
    assert re.fullmatch(r"[0-9a-f-]{36}", submit(fleet, "one two three"))
    assert submit(fleet, "one two three", "--wait") == "one two three"
    assert submit(fleet, "one two three", "--stream") == "one two three"
    assert submit(fleet, "hello", "--kind", "echo", "--stream") == "hello"


def test_submit_reads_the_prompt_from_standard_input(fleet: Program) -> None:
    assert fleet("submit", "-", "--kind", "echo", "--wait", text="from a pipe").out == "from a pipe\n"


def test_submit_prints_json(fleet: Program) -> None:
    assert set(fleet("submit", "hello", "--json").json) == {"id"}

    result = fleet("submit", "hello", "--kind", "echo", "--wait", "--json").json
    assert (result["status"], result["response"]) == ("completed", {"answer": "hello"})

    events = [json.loads(line) for line in fleet("submit", "a b", "--stream", "--json").out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {"text-delta", "finish"} <= {event["type"] for event in events}


def test_submit_without_a_worker_of_the_kind_warns(program: Program) -> None:
    done = program("submit", "hello", "--kind", "poem")

    assert (done.code, len(done.out)) == (0, 37)
    assert done.err == "note: no live worker offers poem · the task waits for one · run: agent-worker run\n"


def test_list_and_show_as_tables_of_80_columns_and_as_json(fleet: Program) -> None:
    payload = json.dumps({"text": "long " * 400})
    task_id = fleet("submit", "--kind", "flaky", "--payload", payload, "--wait", "--json").json["id"]

    listed = fleet("tasks", "list", "--kind", "flaky", "--status", "completed", "--since", "1h")
    assert re.search(rf"^{task_id[:8]}  flaky  ● completed  2/3 .* ago$", listed.out, re.MULTILINE)
    assert max(map(len, listed.out.splitlines())) <= 80
    (row,) = fleet("tasks", "list", "--kind", "flaky", "--json").json["rows"]
    assert row.keys() >= FIELDS
    assert row["created_at"].endswith("+00:00")

    shown = fleet("tasks", "show", task_id[:8], "--events")
    assert max(map(len, shown.out.splitlines())) <= 80
    story = (
        r"inserted\n.*first text .*attempt 1 failed +rate_limited: The provider is busy"
        r".*claimed +attempt 2 of 3 · by walter.*completed +ran "
    )
    assert re.search(story, shown.out, re.DOTALL)
    assert "request  2.0 kB\n" in shown.out
    assert re.search(r"long … \(2\.0 kB\)", " ".join(shown.out.split()))
    assert re.search(r"^ *\d+ +\+\S+ \S+ +attempt-failed ", shown.out, re.MULTILINE)

    document = fleet("tasks", "show", task_id, "--events", "--json").json
    moments = [moment["what"] for moment in document["timeline"]]
    assert (moments[0], moments[-1]) == ("inserted", "completed")
    assert document["response_payload"] == {"answer": "at last"}
    assert [event["seq"] for event in document["events"]] == list(range(1, len(document["events"]) + 1))


def test_cancel_stops_a_running_task_and_retry_runs_it_again(fleet: Program) -> None:
    task_id = submit(fleet, "--kind", "slow", "--payload", '{"seconds": 60}')
    until(lambda: status_of(fleet, task_id) == "processing")

    done = fleet("tasks", "cancel", task_id[:10])
    assert done.out.startswith(f"{task_id[:8]}  ◐ processing  is being stopped by its worker")
    until(lambda: status_of(fleet, task_id) == "cancelled")
    (change,) = fleet("tasks", "cancel", task_id, "--json").json
    assert change == {"id": task_id, "before": "cancelled", "after": "cancelled"}

    chosen = ("--status", "cancelled", "--kind", "slow", "--since", "1h")
    again = fleet("tasks", "retry", *chosen, "--json").json
    groups = [{"kind": "slow", "code": "cancelled", "tasks": 1}]
    assert again == {"matched": 1, "retried": 1, "skipped": 0, "groups": groups}
    (named,) = fleet("tasks", "retry", task_id, "--json").json
    assert (named["id"], named["before"] == named["after"]) == (task_id, True), "it has not ended"
    fleet("tasks", "cancel", task_id)
    assert fleet("tasks", "retry", "--status", "failed", "--kind", "no-such").out == "no such tasks\n"
