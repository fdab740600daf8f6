"""Options that several commands share, and the values people type for them."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from agent_worker.domain.json import JsonValue

DatabaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option("--database-url", metavar="URL", help="PostgreSQL to use instead of DATABASE_URL."),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Scripts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--processor",
        metavar="FILE.PY:CLASS",
        help="Offer a processor from a file, besides the installed ones. May be repeated.",
    ),
]
Processes: TypeAlias = Annotated[
    int | None, typer.Option("--processes", metavar="N", help="Worker processes. [default: 1]")
]
Concurrency: TypeAlias = Annotated[
    int | None,
    typer.Option("--concurrency", metavar="N", help="Tasks at once in each process. [default: 100]"),
]
TaskIds: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="Ids; their first digits are enough.", show_default=False),
]
STATUSES = "pending, processing, waiting, completed, failed or cancelled"

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d|w)")
_UNITS_S = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def moment(text: str, *, now: datetime, is_past: bool) -> datetime:
    """Read a point in time: a span from now such as `90s`, `30m`, `1h` or `2d`, or an ISO 8601 time.

    A time without a zone is this machine's local time.

    Args:
        text: What was typed.
        now: The present, with zone.
        is_past: Whether a span counts back from now.

    Raises:
        typer.BadParameter: It is neither, or lies outside of what a calendar holds.
    """
    try:
        if match := _SPAN.fullmatch(text.strip().lower()):
            span = timedelta(seconds=float(match[1]) * _UNITS_S[match[2]])
            return now - span if is_past else now + span
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise typer.BadParameter(
            f"{text!r} is no time; write a span such as 30m, 1h or 2d, or a time such as 2026-01-31T12:00Z"
        ) from exc


def since_moment(text: str | None) -> datetime | None:
    """Read `--since`; None stays None."""
    return None if text is None else moment(text, now=datetime.now(UTC), is_past=True)


def json_object(option: str, text: str) -> dict[str, JsonValue]:
    """Read a JSON object that was typed.

    Args:
        option: Its name, for the message.
        text: What was typed.

    Raises:
        typer.BadParameter: It is no JSON, or no object.
    """
    try:
        parsed = json.loads(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{option} is no JSON: {exc}") from exc
    if not isinstance(parsed, dict):
        raise typer.BadParameter(f'{option} must be a JSON object, such as {{"prompt": "Hello"}}')
    return parsed


def input_values(typed: str) -> dict[str, JsonValue]:
    """Read the value of `--input`: a JSON object, `@FILE` that holds one, or `@-` for standard input.

    Raises:
        typer.BadParameter: There is none.
    """
    if not typed.startswith("@"):
        return json_object("--input", typed)
    try:
        text = sys.stdin.read() if typed == "@-" else Path(typed[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"--input names a file that cannot be read: {exc}") from exc
    return json_object("--input", text)
