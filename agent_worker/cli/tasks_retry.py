"""`agent-worker tasks retry`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl, TaskIds, since_moment
from agent_worker.cli.screen import print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.tasks_cancel import find_all, print_changes
from agent_worker.db.connection import Database
from agent_worker.db.tasks import TaskFilter, Tasks
from agent_worker.domain.records import Change
from agent_worker.domain.task import TaskStatus

MOST = 1_000
"""Tasks redriven by one call."""


def tasks_retry(
    ids: TaskIds = None,
    *,
    status: Annotated[
        TaskStatus | None,
        typer.Option(
            metavar="STATUS", help="Instead of ids: all that are failed, or cancelled, or completed."
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Of those, only this kind.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Of those, ended within a span such as 1h, or since a time."),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run ended tasks again.

    Name tasks, or choose them: `agent-worker tasks retry --status failed --since 1h`. Each gets as many attempts as
    it had; tasks that have not ended stay as they are. --json prints a list of `{"id", "before", "after"}`.
    """
    if bool(ids) == (status is not None):
        raise typer.BadParameter("name tasks by their ids, or choose them with --status")
    if status is not None and not status.is_final:
        raise typer.BadParameter(
            f"a {status.value} task has not ended; choose failed, cancelled or completed"
        )
    since_time = since_moment(since)

    async def work(db: Database) -> list[Change]:
        if status is None:
            return await Tasks(db).retry(await find_all(db, ids or []))
        wanted = TaskFilter(statuses=(status,), kind=kind, since=since_time, limit=MOST)
        found = await Tasks(db).list_newest(wanted)
        return await Tasks(db).retry([row.id for row in found.rows])

    changes = with_database(read_settings(database_url=database_url), work)
    if as_json:
        print_json([change.as_json() for change in changes])
        return
    if changes:
        print_changes(changes, unfinished="is running already")
    else:
        typer.echo("no such tasks")
    if status is not None and len(changes) == MOST:
        typer.echo(f"the newest {MOST}; run it again for the rest", err=True)
