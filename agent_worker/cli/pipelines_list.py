"""`agent-worker pipelines list`."""

from __future__ import annotations

from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import ago, one_line, print_json, program_here, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.definitions import Definitions
from agent_worker.pipelines.names import PIPELINE


def pipelines_list(*, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the definitions that are stored, with their newest versions.

    --json prints a list of rows.
    """
    found = with_database(
        read_settings(database_url=database_url), lambda db: Definitions(db, PIPELINE).heads()
    )
    if as_json:
        print_json([head.as_json() for head in found])
        return
    if not found:
        show(Text(f"no pipelines · store one: {program_here()} pipelines push FOLDER", style="dim"))
        return
    rows = table("slug", "version", "pushed", "format", "name", right=("version", "pushed"))
    for head in found:
        rows.add_row(
            head.slug,
            str(head.version),
            ago(head.updated_at),
            one_line(head.format or ""),
            one_line(head.name or ""),
        )
    show(rows)
