"""Set, list and remove limits; pause and resume kinds."""

from __future__ import annotations

import re

import pytest

from tests.cli.program import Program

pytestmark = pytest.mark.slow


def test_set_list_and_remove(program: Program) -> None:
    assert program("limits", "list").out == "no limits\n"

    assert program("limits", "set", "--kind", "chat", "--max-running", "5", "--rate", "100/1m").code == 0
    assert program("limits", "set", "--per", "tenant", "--only", "acme", "--max-running", "2").code == 0
    assert program("limits", "set", "--per", "user", "--rate", "10/s").code == 0

    listed = program("limits", "list").out
    assert re.search(r"^ *\d+ +chat +everybody +0 of 5 +100 in 60 s", listed, re.MULTILINE)
    assert re.search(r"^ *\d+ +all together +tenant acme +0 of 2", listed, re.MULTILINE)
    assert re.search(r"^ *\d+ +all together +each user +0 +10 in 1 s", listed, re.MULTILINE)

    rows = program("limits", "list", "--json").json
    chosen = next(row for row in rows if row["kind"] == "chat")
    assert (chosen["max_running"], chosen["max_starts"], chosen["period_s"]) == (5, 100, 60)
    assert program("limits", "remove", str(chosen["id"])).code == 0
    again = program("limits", "remove", str(chosen["id"]))
    assert (again.code, again.err) == (
        2,
        f"error: there is no limit {chosen['id']} · `agent-worker limits list` shows all\n",
    )


def test_setting_a_limit_again_changes_what_is_given(program: Program) -> None:
    program("limits", "set", "--kind", "chat", "--max-running", "5")
    program("limits", "set", "--kind", "chat", "--rate", "7/1h")
    (row,) = program("limits", "list", "--json").json
    assert (row["max_running"], row["max_starts"], row["period_s"]) == (5, 7, 3600)


def test_a_paused_kind_is_shown_and_waits(program: Program) -> None:
    assert program("pause", "echo").out == "echo is paused; `agent-worker resume` ends that\n"
    assert "paused" in program("limits", "list").out
    assert program("resume", "echo").out == "echo runs again\n"
    refused = program("resume", "echo")
    assert (refused.code, refused.out) == (2, "")
    assert "the kind echo is not paused" in refused.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "a limit needs --max-running or --rate"),
        (("--rate", "fast"), "it should look like 100/60s"),
        (("--max-running", "1", "--only", "acme"), "a key needs per tenant or per user"),
        (("--max-running", "-1"), "max_running must be 0 to 1000000"),
    ],
)
def test_what_means_nothing_is_refused(program: Program, arguments: tuple[str, ...], problem: str) -> None:
    done = program("limits", "set", *arguments)
    assert done.code == 2
    assert problem in " ".join(done.err.replace("│", " ").split())
