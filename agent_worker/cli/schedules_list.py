"""`agent-worker schedules list`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import RenderableType
from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import ago, one_line, print_json, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.schedules import Schedules
from agent_worker.domain.records import Schedule

_WEEK = timedelta(days=6)


def schedules_list(*, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List schedules: when each fires next, when it last did, and what is wrong.

    Times of day are this machine's. --json prints a list of rows.
    """
    found = with_database(read_settings(database_url=database_url), lambda db: Schedules(db).all())
    if as_json:
        print_json([schedule.as_json() for schedule in found])
    else:
        show(*_parts(found))


def firing(schedule: Schedule) -> str:
    """Write when a schedule fires next, by this machine's local time: `in 14 h, Sun 07:00 CET`; or why it does not."""
    if not schedule.enabled:
        return "never: it is off"
    if schedule.next_fire_at is None:
        return "never: see below" if schedule.error else "soon: no worker has seen it"
    now = datetime.now(UTC)
    if schedule.next_fire_at <= now:
        return f"due {ago(schedule.next_fire_at, now=now)}"
    here = schedule.next_fire_at.astimezone()
    day = f"{here:%a}" if schedule.next_fire_at - now < _WEEK else f"{here:%d %b %Y}"
    return f"{ago(schedule.next_fire_at, now=now)}, {day} {here:%H:%M %Z}"


def _rule(schedule: Schedule) -> str:
    return schedule.cron if schedule.timezone == "UTC" else f"{schedule.cron} {schedule.timezone}"


def _parts(found: Sequence[Schedule]) -> Iterator[RenderableType]:
    if not found:
        yield Text("no schedules", style="dim")
        return
    rows = table("name", "cron", "kind", "last", "next", right=("last",))
    for schedule in found:
        rows.add_row(
            one_line(schedule.name),
            one_line(_rule(schedule)),
            one_line(schedule.kind),
            ago(schedule.last_slot),
            Text(firing(schedule), style="red" if schedule.error else ""),
        )
    yield rows
    for schedule in found:
        if schedule.error is not None:
            yield Text()
            yield Text(f"{one_line(schedule.name)}: {one_line(schedule.error)}", style="red")
