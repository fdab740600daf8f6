"""`agent-worker pipelines archive`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json, program_here
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.domain.client_errors import DefinitionNotFound
from agent_worker.pipelines.names import PIPELINE


def pipelines_archive(
    reference: Annotated[str, typer.Argument(metavar="SLUG", help="What it was pushed as, or its id.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Let no new task find a stored definition by its name alone.

    Runs that have begun, and tasks that name a version, find it as before. Pushing it again takes it back into use.
    --json prints {"id", "slug", "version"}.
    """

    async def work(db: Database) -> tuple[str, str, int]:
        definitions = Definitions(db, PIPELINE)
        found = await definitions.find(reference)
        if found is None or not await definitions.archive(reference):
            raise DefinitionNotFound(
                f"there is no pipeline {one_line(reference)!r} in use · see: {program_here()} pipelines list"
            )
        return str(found.id), found.slug, found.version

    id_, slug, version = with_database(read_settings(database_url=database_url), work)
    if as_json:
        print_json({"id": id_, "slug": slug, "version": version})
    else:
        print(f"{slug} is archived · its versions stay, 1 to {version}")
