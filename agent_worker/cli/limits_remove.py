"""`agent-worker limits remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.limits import Limits


def limits_remove(
    limit_id: Annotated[int, typer.Argument(metavar="ID", help="Which, as `limits list` shows it.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete a limit; what it held back starts at once.

    --json prints `{"id"}`.
    """
    with_database(read_settings(database_url=database_url), lambda db: Limits(db).remove(limit_id))
    if as_json:
        print_json({"id": limit_id})
    else:
        print(f"limit {limit_id} is removed")
