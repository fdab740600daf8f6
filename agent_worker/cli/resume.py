"""`agent-worker resume`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.limits import Limits


def resume(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Which kind.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Start tasks of a paused kind again, the oldest first.

    --json prints `{"kind"}`.
    """
    with_database(read_settings(database_url=database_url), lambda db: Limits(db).resume(kind))
    if as_json:
        print_json({"kind": kind})
    else:
        print(f"{one_line(kind)} runs again")
