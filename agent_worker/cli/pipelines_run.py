"""`agent-worker pipelines run`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from agent_worker.cli.exits import USAGE
from agent_worker.cli.options import AsJson, DatabaseUrl, input_values
from agent_worker.cli.pipelines_validate import print_report
from agent_worker.cli.run_follow import other_option, run_and_follow
from agent_worker.cli.session import read_settings
from agent_worker.client import AsyncClient
from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.names import PIPELINE
from agent_worker.pipelines.problems import PROTOCOL, SETTINGS
from agent_worker.pipelines.reading.folder import read_folder
from agent_worker.pipelines.running.triggers import to_run
from agent_worker.pipelines.types.inputs import check_inputs
from agent_worker.pipelines.validation import validate


def pipelines_run(
    which: Annotated[
        str, typer.Argument(metavar="FOLDER|SLUG", help="A definition's folder, or what it was pushed as.")
    ],
    *,
    given: Annotated[
        str,
        typer.Option("--input", metavar="JSON|@FILE", help="Values of its inputs; @- reads standard input."),
    ] = "{}",
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="Of a pushed definition. [default: the newest]"),
    ] = None,
    trigger: Annotated[
        str | None,
        typer.Option("--trigger", metavar="NAME", help="Of an interactive agent: what it answers."),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline and tell its steps as they run.

    Where no live worker offers pipelines, this process is one meanwhile. Workers that a folder's definition calls are
    taken from the folders beside it, else from the database. Questions are asked here; Ctrl-C cancels the run. --json
    prints one event a line and asks nothing. Exits with 1 when the run fails.
    """
    request = _request(which, input_values(given), version, trigger)
    settings = read_settings(database_url=database_url, kinds=PIPELINE)

    async def start(db: Database, client: AsyncClient) -> UUID:
        if "agent" in request:
            await _require(Definitions(db, PIPELINE), which, version)
        return await client.submit(request, kind=PIPELINE)

    run_and_follow(settings, start, as_json=as_json, option=other_option(database_url))


def _request(which: str, given: JsonObject, version: int | None, trigger: str | None) -> JsonObject:
    folder = Path(which)
    asked: dict[str, JsonValue] = (
        {"input": given} if trigger is None else {"input": given, "trigger": trigger}
    )
    if not folder.is_dir():
        named: dict[str, JsonValue] = {"agent": which, **asked}
        return named if version is None else {**named, "version": version}
    if version is not None:
        raise typer.BadParameter("--version is for a pushed definition, and this is a folder")
    definition, content = _read(folder)
    runs = to_run(definition, trigger)
    mismatches = check_inputs(runs.inputs, given, runs.types)
    if mismatches:
        raise typer.BadParameter(f"--input does not fit: {'; '.join(map(str, mismatches))}")
    request: dict[str, JsonValue] = {"definition": content, **asked}
    workers = dict(_beside(folder, definition, {}))
    return {**request, "workers": workers} if workers else request


def _read(folder: Path) -> tuple[Definition, JsonObject]:
    """Return a folder's definition, read and as it is sent; one with errors is told and ends the program."""
    source = read_folder(folder)
    validation = validate(source)
    if validation.definition is None:
        print_report(folder, validation.report)
        raise typer.Exit(USAGE)
    return validation.definition, source.as_json()


def _beside(
    folder: Path, definition: Definition, found: dict[str, JsonObject]
) -> Iterator[tuple[str, JsonObject]]:
    """Yield the definitions that lie beside a folder and are called from it, and from there on."""
    for slug in definition.workers:
        place = folder.resolve().parent / slug
        if slug in found or not all((place / name).is_file() for name in (SETTINGS, PROTOCOL)):
            continue
        worker, found[slug] = _read(place)
        yield slug, found[slug]
        yield from _beside(place, worker, found)


async def _require(definitions: Definitions, which: str, version: int | None) -> None:
    if await definitions.find(which, version) is not None:
        return
    known = [head.slug for head in await definitions.heads()]
    rest = f"pushed are {', '.join(known)}" if known else "nothing is pushed yet"
    named = which if version is None else f"{which} in version {version}"
    raise ConfigurationError(
        f"there is no folder and no pushed definition {named} · {rest} · "
        "name a folder, or run: agent-worker pipelines push FOLDER"
    )
