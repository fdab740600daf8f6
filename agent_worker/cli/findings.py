"""What a check found: a line each, with the fix beside what is broken."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import typer
from rich.text import Text

from agent_worker.cli.screen import print_json, show, table
from agent_worker.domain.errors import AgentWorkerError
from agent_worker.domain.records import Record


class Verdict(enum.StrEnum):
    """How it went."""

    OK = "ok"
    NOTE = "note"
    """Works, and could be better or surprise somebody."""
    FAILED = "failed"


_SHAPES = {Verdict.OK: ("✓", "green"), Verdict.NOTE: ("·", "yellow"), Verdict.FAILED: ("✗", "bold red")}


@dataclass(frozen=True, slots=True)
class Finding(Record):
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        text: What is the case.
        fix: What to do; None when nothing is to be done.
    """

    name: str
    verdict: Verdict
    text: str
    fix: str | None = None

    @classmethod
    def of_error(cls, name: str, error: AgentWorkerError) -> Finding:
        """Return a failure; what an error says after its last ` · ` is the fix."""
        text, separator, fix = str(error).rpartition(" · ")
        return cls(name, Verdict.FAILED, text, fix) if separator else cls(name, Verdict.FAILED, fix)


def report(findings: Iterable[Finding], *, as_json: bool, exit_code: int) -> None:
    """Print findings and end the program with `exit_code` if one of them is a failure.

    --json prints `{"ok": bool, "findings": [{"name", "verdict", "text", "fix"}]}`.
    """
    found = list(findings)
    has_failed = any(finding.verdict is Verdict.FAILED for finding in found)
    if as_json:
        print_json({"ok": not has_failed, "findings": [finding.as_json() for finding in found]})
    else:
        _print(found)
    if has_failed:
        raise typer.Exit(exit_code)


def _print(found: Iterable[Finding]) -> None:
    rows = table("verdict", "name", "text", header=False, folds=True)
    for finding in found:
        shape, colour = _SHAPES[finding.verdict]
        text = Text(finding.text)
        if finding.fix is not None:
            text.append(f"\n{finding.fix}", style="bold" if finding.verdict is Verdict.FAILED else "dim")
        rows.add_row(Text(f"{shape} {finding.verdict.value}", style=colour), finding.name, text)
    show(rows)
