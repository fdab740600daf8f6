"""Push, list and show definitions from the command line."""

from __future__ import annotations

import re
import shutil
from uuid import UUID

import pytest

from tests.cli.program import Program
from tests.cli.test_pipelines import EXAMPLES

pytestmark = pytest.mark.slow


def push(program: Program, *names: str, changed: str | None = None) -> None:
    for name in names:
        done = program("pipelines", "push", str(EXAMPLES / name))
        assert (done.code, done.err) == (0, ""), done
    if changed is not None:
        folder = program.folder / changed
        shutil.copytree(EXAMPLES / changed, folder)
        protocol = folder / "protocol.yaml"
        protocol.write_text(protocol.read_text() + "\n# changed\n")
        assert program("pipelines", "push", str(folder)).out == f"{changed}: ✓ pushed, version 2\n"


def test_a_folder_is_pushed_listed_and_shown(program: Program) -> None:
    nothing = program("pipelines", "list").out
    assert nothing.startswith("no pipelines · store one: ")

    pushed = program("pipelines", "push", str(EXAMPLES / "summarise"), str(EXAMPLES / "approve-reply"))
    assert (pushed.code, pushed.err) == (0, "")
    assert pushed.out == "summarise: ✓ pushed, version 1\napprove-reply: ✓ pushed, version 1\n"

    listed = program("pipelines", "list").out.splitlines()
    assert listed[0].split() == ["slug", "version", "pushed", "format", "name"]
    assert re.match(r"approve-reply +1 +\S+ s ago +worker +Approve a reply$", listed[1])
    assert [line.split()[0] for line in listed[1:]] == ["approve-reply", "summarise"]

    shown = program("pipelines", "show", "approve-reply").out
    assert "Drafts a reply to a letter and lets a person approve it." in shown
    for line in (
        r"version +1, pushed \S+ s ago",
        r"KIND +complaint \| question \| praise +needed",
        r'MODEL +string +"echo/echo"',
        r"Choose the tone +branch",
        r"  praise:",
        r"    Be glad +set-variable +TONE",
        r"  Let a person decide +human-approval +APPROVED, ANSWER",
        r"output +DRAFT",
    ):
        assert re.search(f"^{line}", shown, re.MULTILINE), (line, shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_each_change_is_a_version_and_no_change_is_none(program: Program) -> None:
    push(program, "summarise", changed="summarise")
    assert program("pipelines", "push", "summarise").out == "summarise: = unchanged, version 2\n"
    (row,) = program("pipelines", "list", "--json").json
    assert (row["slug"], row["version"], row["name"], row["format"]) == (
        "summarise",
        2,
        "Summarise",
        "worker",
    )

    newest, first = (
        program("pipelines", "show", "summarise", *version, "--json").json
        for version in ((), ("--version", "1"))
    )
    assert newest["content"]["protocol"].endswith("# changed\n")
    assert not first["content"]["protocol"].endswith("# changed\n")
    assert (first["id"], first["version"], newest["version"]) == (newest["id"], 1, 2)
    assert [each["version"] for each in first["versions"]] == [2, 1]
    assert re.search(
        r"version +1, pushed .* besides 2", program("pipelines", "show", row["id"], "--version", "1").out
    )


def test_an_archived_definition_is_found_by_its_version_until_it_is_pushed_again(program: Program) -> None:
    push(program, "summarise", "research")
    done = program("pipelines", "archive", "summarise")
    assert (done.code, done.out) == (0, "summarise is archived · its versions stay, 1 to 1\n")
    assert [row["slug"] for row in program("pipelines", "list", "--json").json] == ["research"]
    refused = program("pipelines", "show", "summarise")
    assert refused.code == 2
    assert "summarise is archived" in refused.err
    assert program("pipelines", "show", "summarise", "--version", "1", "--json").json["version"] == 1
    again = program("pipelines", "archive", "summarise")
    assert again.code == 2
    assert "there is no pipeline 'summarise' in use" in again.err
    pushed = program("pipelines", "push", str(EXAMPLES / "summarise"), "--json").json[0]
    told = program("pipelines", "archive", pushed["id"], "--json").json
    assert told == {"id": pushed["id"], "slug": "summarise", "version": pushed["version"]}


def test_a_definition_with_errors_is_refused_with_file_and_line_and_none_is_stored(program: Program) -> None:
    shutil.copytree(EXAMPLES / "summarise", program.folder / "worker")
    protocol = program.folder / "worker" / "protocol.yaml"
    protocol.write_text(protocol.read_text().replace("temperature: 0.2", "temprature: 0.2"))
    line = protocol.read_text().splitlines().index("    temprature: 0.2") + 1

    refused = program("pipelines", "push", str(EXAMPLES / "research"), "worker")
    assert refused.code == 2
    assert f"worker/protocol.yaml:{line}: error: steps.Open the thread.temprature: " in refused.out
    assert refused.out.endswith("worker: ✗ invalid, 1 error, 0 warnings\nnothing is pushed\n")
    told = program("pipelines", "push", str(EXAMPLES / "research"), "worker", "--json")
    assert told.code == 2
    assert [(each["valid"], "version" in each) for each in told.json] == [(True, False), (False, False)]
    assert program("pipelines", "list", "--json").json == []


def test_a_push_tells_programs_what_it_came_to(program: Program) -> None:
    push(program, "summarise")
    first, second = program(
        "pipelines", "push", str(EXAMPLES / "summarise"), str(EXAMPLES / "research"), "--json"
    ).json
    assert (first["slug"], first["version"], first["is_new"], first["valid"]) == ("summarise", 1, False, True)
    assert (second["slug"], second["version"], second["is_new"]) == ("research", 1, True)
    assert UUID(first["id"]) != UUID(second["id"])
    assert first["errors"] == first["warnings"] == []


def test_two_folders_with_one_slug_are_not_pushed_over_each_other(program: Program) -> None:
    shutil.copytree(EXAMPLES / "summarise", program.folder / "other")
    refused = program("pipelines", "push", str(EXAMPLES / "summarise"), "other")
    assert (refused.code, refused.out) == (2, "")
    assert "both have the slug summarise · change it in the settings.json" in refused.err


def test_what_is_not_stored_is_told_with_what_to_do(program: Program) -> None:
    push(program, "summarise")
    unknown = program("pipelines", "show", "sumarise")
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no pipeline 'sumarise' · see: " in unknown.err
    version = program("pipelines", "show", "summarise", "--version", "7")
    assert version.err == "error: summarise has no version 7 · the newest is 1\n"


def test_with_nothing_configured_a_push_makes_the_database_here(bare: Program) -> None:
    looked = bare("pipelines", "list")
    assert (looked.code, looked.out) == (3, "")
    assert bare("pipelines", "push", str(EXAMPLES / "summarise")).code == 0
    assert [row["slug"] for row in bare("pipelines", "list", "--json").json] == ["summarise"]
