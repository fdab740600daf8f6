"""`agent-worker limits set`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.limits import Limits

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def limits_set(
    *,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help="Tasks of one kind; without it all kinds together.")
    ] = None,
    per: Annotated[
        Literal["all", "tenant", "user"],
        typer.Option(
            help="Count all tasks together, or those of each enterprise_id or user_id by themselves."
        ),
    ] = "all",
    only: Annotated[
        str | None, typer.Option(metavar="ID", help="One tenant or user, in place of what holds for each.")
    ] = None,
    max_running: Annotated[int | None, typer.Option(metavar="N", help="Most at once.")] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="N/SPAN", help="Most starts in any such span: 100/60s, 5000/1h.")
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Limit how many tasks run at once, or start in a while.

    It holds for the whole fleet from now on; what runs already goes on and counts. What is not given stays as it is.
    --json prints what was set.
    """
    if max_running is None and rate is None:
        raise typer.BadParameter("a limit needs --max-running or --rate")
    parsed = None if rate is None else _rate(rate)

    settings = read_settings(database_url=database_url)
    with_database(
        settings,
        lambda db: Limits(db).set(kind=kind, per=per, key=only, max_running=max_running, rate=parsed),
    )
    if as_json:
        rate_s = None if parsed is None else {"tasks": parsed[0], "seconds": parsed[1]}
        print_json({"kind": kind, "per": per, "only": only, "max_running": max_running, "rate": rate_s})
    else:
        print("set; `agent-worker limits list` shows all")


def _rate(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,7})/(\d{0,5})([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"--rate is {text!r}; it should look like 100/60s or 5000/1h")
    tasks, number, unit = match.groups()
    return int(tasks), int(number or 1) * _UNITS_S[unit]
