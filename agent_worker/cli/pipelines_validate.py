"""`agent-worker pipelines validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agent_worker.cli.exits import USAGE
from agent_worker.cli.options import AsJson
from agent_worker.cli.screen import console, one_line, print_json
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.problems import Problem, Report
from agent_worker.pipelines.reading.folder import read_folder
from agent_worker.pipelines.validation import validate_together


def pipelines_validate(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Folders with settings.json and protocol.yaml.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with definitions, with file and line.

    Calls of each other are checked as well. Exits with 2 when one of them has an error; warnings are shown and do no
    harm. --json prints a list of {"folder", "valid", "errors", "warnings"}.
    """
    validations = validate_together([read_folder(folder) for folder in folders])
    reports = [(folder, each.report) for folder, each in zip(folders, validations, strict=True)]
    if as_json:
        found: list[JsonValue] = [{"folder": str(folder), **report.as_json()} for folder, report in reports]
        print_json(found)
    else:
        for folder, report in reports:
            print_report(folder, report)
    if not all(report.valid for _, report in reports):
        raise typer.Exit(USAGE)


def print_report(folder: Path, report: Report) -> None:
    """Print each problem as compilers do, then how many there are."""
    print_problems(folder, report)
    counts = f"{_counted(len(report.errors), 'error')}, {_counted(len(report.warnings), 'warning')}"
    verdict = Text("✓ valid", style="green") if report.valid else Text("✗ invalid", style="bold red")
    console().print(Text.assemble(one_line(str(folder)), ": ", verdict, f", {counts}"), soft_wrap=True)


def print_problems(folder: Path, report: Report) -> None:
    """Print each problem as compilers do."""
    for problem in (*report.errors, *report.warnings):
        console().print(_line(folder, problem), soft_wrap=True)


def _line(folder: Path, problem: Problem) -> Text:
    """Write a problem as compilers do, so that editors and terminals can jump to it."""
    place = f"{folder / problem.file}" + ("" if problem.line is None else f":{problem.line}")
    style = "bold red" if problem.severity == "error" else "yellow"
    path = "" if problem.path is None else f"{one_line(problem.path)}: "
    return Text.assemble(
        (one_line(place), "bold"), ": ", (problem.severity, style), f": {path}{one_line(problem.message)}"
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
