"""`agent-worker workers drain`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.workers import Workers


def workers_drain(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which worker.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Have a worker finish what it runs, and leave.

    It takes no more tasks; what it cannot finish within its grace period goes back to the queue, and its process ends.
    Where it does not listen, it hears of it with its next heartbeat.

    --json prints `{"id", "name"}`.
    """
    drained = with_database(read_settings(database_url=database_url), lambda db: Workers(db).drain(name))
    if as_json:
        print_json({"id": str(drained), "name": name})
    else:
        print(f"{one_line(name)} finishes what it runs, and leaves")
