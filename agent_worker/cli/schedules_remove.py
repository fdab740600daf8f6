"""`agent-worker schedules remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.schedules import Schedules


def schedules_remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which schedule.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete a schedule; the tasks it has inserted stay.

    --json prints `{"name"}`.
    """
    with_database(read_settings(database_url=database_url), lambda db: Schedules(db).remove(name))
    if as_json:
        print_json({"name": name})
    else:
        print(f"{one_line(name)} is removed")
