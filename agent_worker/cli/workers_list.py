"""`agent-worker workers list`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.workers import Workers
from agent_worker.domain.health import WorkerRow, age


def workers_list(*, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the workers that live, and those that vanished in the last hour.

    --json prints a list of rows.
    """
    found = with_database(read_settings(database_url=database_url), lambda db: Workers(db).all())
    if as_json:
        print_json([worker.as_json() for worker in found])
    else:
        show(render(found))


def render(workers: Sequence[WorkerRow]) -> RenderableType:
    """Return the table of workers, which is a part of `status` as well."""
    if not workers:
        return Text("no workers", style="dim")
    rows = table("worker", "state", "slots", "heartbeat", "kinds", right=("slots", "heartbeat"))
    for worker in workers:
        colour = {"running": "green", "draining": "yellow"}.get(worker.state, "red")
        rows.add_row(
            one_line(worker.name),
            Text(worker.state, style=colour),
            f"{worker.in_flight}/{worker.concurrency}",
            f"{age(worker.heartbeat_age_s)} ago",
            one_line(", ".join(worker.kinds)),
        )
    return rows
