"""Check definitions from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.program import Program

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pipelines"


def test_valid_definitions_are_told_so(bare: Program) -> None:
    done = bare("pipelines", "validate", str(EXAMPLES / "summarise"), str(EXAMPLES / "research"))
    assert (done.code, done.err) == (0, "")
    assert done.out == "".join(
        f"{EXAMPLES / name}: ✓ valid, 0 errors, 0 warnings\n" for name in ("summarise", "research")
    )


def test_errors_are_told_with_file_and_line_and_the_exit_code_is_2(bare: Program) -> None:
    shutil.copytree(EXAMPLES / "summarise", bare.folder / "worker")
    protocol = bare.folder / "worker" / "protocol.yaml"
    protocol.write_text(protocol.read_text().replace("temperature: 0.2", "temprature: 0.2"))
    line = protocol.read_text().splitlines().index("    temprature: 0.2") + 1

    done = bare("pipelines", "validate", "worker")
    assert done.code == 2
    assert done.out == (
        f"worker/protocol.yaml:{line}: error: steps.Open the thread.temprature: there is no field 'temprature' here; "
        "did you mean 'temperature'?\nworker: ✗ invalid, 1 error, 0 warnings\n"
    )

    found = bare("pipelines", "validate", "worker", "--json")
    assert found.code == 2
    (report,) = found.json
    assert (report["folder"], report["valid"], report["warnings"]) == ("worker", False, [])
    assert report["errors"][0]["line"] == line


def test_definitions_that_are_named_together_are_held_to_what_they_call(bare: Program) -> None:
    for name in ("caller", "called"):
        shutil.copytree(EXAMPLES / "summarise", bare.folder / name)
    settings = bare.folder / "called" / "settings.json"
    settings.write_text(settings.read_text().replace('"summarise"', '"called"'))
    protocol = bare.folder / "caller" / "protocol.yaml"
    call = "  Call:\n    block: run-worker\n    worker: called\n    input: {TEX: short}\n"
    lines = protocol.read_text().replace("steps:\n", f"steps:\n{call}", 1)
    protocol.write_text(lines + "workers:\n  called: {description: Summarises}\n")
    assert bare("pipelines", "validate", "caller").code == 0, "alone, nothing is known of the other"

    done = bare("pipelines", "validate", "caller", "called")
    assert done.code == 2
    assert "steps.Call.input.TEX: there is no input of called 'TEX'; did you mean 'TEXT'?" in done.out


def test_a_folder_without_a_definition_says_what_one_is(bare: Program) -> None:
    done = bare("pipelines", "validate", ".")
    assert (done.code, done.out) == (2, "")
    assert "holds no definition" in done.err
