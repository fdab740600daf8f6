"""`agent-worker pause`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.limits import Limits


def pause(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Which kind.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Start no more tasks of a kind, anywhere in the fleet.

    Those that run go on; new ones are accepted and wait. `agent-worker resume KIND` ends it.

    --json prints `{"kind"}`.
    """
    with_database(read_settings(database_url=database_url), lambda db: Limits(db).pause(kind))
    if as_json:
        print_json({"kind": kind})
    else:
        print(f"{one_line(kind)} is paused; `agent-worker resume` ends that")
