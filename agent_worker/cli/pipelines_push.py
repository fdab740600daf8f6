"""`agent-worker pipelines push`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agent_worker.cli.exits import USAGE
from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.pipelines_validate import print_problems, print_report
from agent_worker.cli.screen import console, one_line, print_json
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.domain.definitions import Pushed
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.names import PIPELINE
from agent_worker.pipelines.reading.folder import read_folder
from agent_worker.pipelines.reading.source import Source
from agent_worker.pipelines.validation import Validation, validate


@dataclass(frozen=True, slots=True)
class _Read:
    folder: Path
    source: Source
    validation: Validation

    @property
    def slug(self) -> str:
        definition = self.validation.definition
        return "" if definition is None else definition.settings.slug

    def as_json(self) -> JsonObject:
        return {"folder": str(self.folder), **self.validation.report.as_json()}


def pipelines_push(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER", help="Folders with settings.json and protocol.yaml.")
    ],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Store definitions, each as the next version of its slug, for tasks that run it by name.

    What is the same as the newest version makes no new one. Nothing is stored when one of them has an error; then the exit
    code is 2. --json prints a list of {"folder", "slug", "id", "version", "is_new", "valid", "errors", "warnings"}.
    """
    found = [_read(folder) for folder in folders]
    if not all(each.validation.report.valid for each in found):
        _refuse(found, as_json=as_json)
    _require_different(found)

    async def work(db: Database) -> list[Pushed]:
        definitions = Definitions(db, PIPELINE)
        return [await definitions.push(each.slug, each.source.as_json()) for each in found]

    pushed = with_database(read_settings(database_url=database_url), work, may_create=True)
    if as_json:
        print_json([{**each.as_json(), **_facts(one)} for each, one in zip(found, pushed, strict=True)])
        return
    for each, one in zip(found, pushed, strict=True):
        print_problems(each.folder, each.validation.report)
        console().print(_line(one), soft_wrap=True)


def _read(folder: Path) -> _Read:
    source = read_folder(folder)
    return _Read(folder, source, validate(source))


def _refuse(found: Sequence[_Read], *, as_json: bool) -> None:
    if as_json:
        print_json([each.as_json() for each in found])
    else:
        for each in found:
            print_report(each.folder, each.validation.report)
        print("nothing is pushed")
    raise typer.Exit(USAGE)


def _require_different(found: Sequence[_Read]) -> None:
    folders: dict[str, Path] = {}
    for each in found:
        other = folders.setdefault(each.slug, each.folder)
        if other != each.folder:
            raise ConfigurationError(
                f"{one_line(str(other))} and {one_line(str(each.folder))} both have the slug {each.slug}"
                " · change it in the settings.json of one of them"
            )


def _facts(pushed: Pushed) -> JsonObject:
    return {
        "slug": pushed.slug,
        "id": str(pushed.id),
        "version": pushed.version,
        "is_new": pushed.is_new,
    }


def _line(pushed: Pushed) -> Text:
    if pushed.is_new:
        return Text.assemble(pushed.slug, ": ", ("✓ pushed", "green"), f", version {pushed.version}")
    return Text.assemble(pushed.slug, ": ", ("= unchanged", "dim"), f", version {pushed.version}")
