"""`agent-worker tasks list`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from agent_worker.cli.options import STATUSES, AsJson, DatabaseUrl, since_moment
from agent_worker.cli.screen import ago, one_line, print_json, short_ids, show, state, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.timeline import precise
from agent_worker.db.tasks import TaskFilter, Tasks
from agent_worker.domain.records import TaskList, TaskRow
from agent_worker.domain.task import TaskStatus


def tasks_list(
    *,
    status: Annotated[
        list[TaskStatus] | None,
        typer.Option(metavar="STATUS", help=f"Only {STATUSES} tasks. May be repeated."),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Only this kind.")] = None,
    code: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Only those that failed or were cancelled with this code."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Changed within a span such as 30m, 1h or 2d, or since a time."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="Only this enterprise_id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="Most rows.")] = 20,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List tasks by their last change, newest first.

    --json prints `{"rows": [...], "looked_back_to": null}`.
    """
    wanted = TaskFilter(
        statuses=tuple(status or ()),
        kind=kind,
        code=code,
        since=since_moment(since),
        tenant=tenant,
        limit=limit,
    )
    found = with_database(read_settings(database_url=database_url), lambda db: Tasks(db).list_newest(wanted))
    if as_json:
        print_json(found.as_json())
        return
    show(render(found.rows) if found.rows else Text("no tasks", style="dim"))
    _tell_limits(found, limit)


def render(rows: tuple[TaskRow, ...]) -> Table:
    """Return tasks as a table; also the lower half of `watch`."""
    now = datetime.now(UTC)
    names = short_ids(row.id for row in rows)
    shown = table("id", "kind", "status", "try", "took", "changed", "", right=("try", "took", "changed"))
    for row in rows:
        shown.add_row(
            names[row.id],
            one_line(row.kind),
            state(row.status),
            f"{row.attempt}/{row.max_attempts}",
            _took(row, now),
            ago(row.updated_at, now=now),
            Text(_note(row, now), style="dim"),
        )
    return shown


def _took(row: TaskRow, now: datetime) -> str:
    if row.started_at is None or row.status in {TaskStatus.PENDING, TaskStatus.WAITING}:
        return "-"
    return precise(((row.finished_at or now) - row.started_at).total_seconds())


def _note(row: TaskRow, now: datetime) -> str:
    if row.code or row.error:
        return one_line(f"{row.code or ''} {row.error or ''}")
    if row.cancel_requested_at is not None and not row.status.is_final:
        return "is being stopped"
    if row.progress is not None and not row.status.is_final:
        return one_line(f"{row.progress.get('percent', 0)} % {row.progress.get('note', '')}")
    if row.status is TaskStatus.PENDING and row.run_at is not None:
        return f"due {ago(row.run_at, now=now)}"
    return ""


def _tell_limits(found: TaskList, limit: int) -> None:
    if len(found.rows) == limit:
        typer.echo(f"the newest {limit}; --limit shows more", err=True)
    elif found.looked_back_to is not None:
        typer.echo(f"looked back {ago(found.looked_back_to)}; older tasks were left out", err=True)
