"""`agent-worker pipelines show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import ago, one_line, print_json, program_here, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.domain.client_errors import DefinitionNotFound
from agent_worker.domain.definitions import StoredDefinition
from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.definition.declarations import Input
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.flow import Branch, If, Parallel
from agent_worker.pipelines.definition.steps import AnyBlock, Steps, nested, written
from agent_worker.pipelines.names import PIPELINE
from agent_worker.pipelines.reading.wire import read_wire
from agent_worker.pipelines.validation import validate

_MOST_VERSIONS = 5

Versions = Sequence[tuple[int, datetime]]


def pipelines_show(
    reference: Annotated[str, typer.Argument(metavar="SLUG", help="What it was pushed as, or its id.")],
    *,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", help="Which one. [default: the newest]")
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one stored definition: its inputs, its steps and its versions.

    --json prints all of it: {"id", "slug", "version", "content", "created_at", "updated_at", "versions"}.
    """

    async def work(db: Database) -> tuple[StoredDefinition, Versions]:
        definitions = Definitions(db, PIPELINE)
        found = await definitions.find(reference, version)
        versions = await definitions.versions(reference)
        if found is None:
            raise DefinitionNotFound(_missing(reference, version, versions))
        return found, versions

    found, versions = with_database(read_settings(database_url=database_url), work)
    if as_json:
        listed: list[JsonValue] = [
            {"version": number, "created_at": at.isoformat()} for number, at in versions
        ]
        print_json({**found.as_json(), "versions": listed})
    else:
        show(*_parts(found, versions))


def _missing(reference: str, version: int | None, versions: Versions) -> str:
    name = one_line(reference)
    if not versions:
        return f"there is no pipeline {name!r} · see: {program_here()} pipelines list"
    if version is None:
        newest = versions[0][0]
        return f"{name} is archived · name its version: --version {newest}, or push it again"
    return f"{name} has no version {version} · the newest is {versions[0][0]}"


def _parts(found: StoredDefinition, versions: Versions) -> Iterator[RenderableType]:
    definition = validate(read_wire(found.content)).definition
    title = None if definition is None else definition.settings.name
    about = None if definition is None else definition.settings.description
    yield Text.assemble((found.slug, "bold"), "  ", one_line(title or ""), (f"  {found.id}", "dim"))
    if about:
        yield Text(one_line(about))
    yield Text()
    yield _versions(found, versions)
    if definition is None:
        yield Text("not valid by the rules of this release · see it all: --json", style="red")
        return
    if definition.inputs:
        yield Text()
        yield _inputs(definition)
    for name, steps in (("step", definition.steps), *definition.handlers.items()):
        if steps:
            yield Text()
            yield _steps(name, steps)
    if definition.output is not None:
        yield Text()
        yield Text.assemble(("output", "dim"), f"  {definition.output}")


def _versions(found: StoredDefinition, versions: Versions) -> Text:
    told = Text.assemble(("version", "dim"), f"  {found.version}, pushed {ago(found.updated_at)}")
    others = [number for number, _ in versions if number != found.version]
    if others:
        names = ", ".join(map(str, others[:_MOST_VERSIONS]))
        more = f" and {len(others) - _MOST_VERSIONS} more" if len(others) > _MOST_VERSIONS else ""
        told.append(f"  besides {names}{more}", style="dim")
    return told


def _inputs(definition: Definition) -> RenderableType:
    rows = table("input", "type", "default", "what", folds=True)
    for name, each in definition.inputs.items():
        rows.add_row(name, _type(each), _default(each), one_line(each.shape.description or ""))
    return rows


def _type(declared: Input) -> str:
    return " | ".join(declared.shape.enum) if declared.shape.enum else str(declared.shape)


def _default(declared: Input) -> Text:
    if declared.has_default:
        return Text(one_line(json.dumps(declared.default, ensure_ascii=False)))
    return Text("none", style="dim") if declared.optional else Text("needed")


def _steps(name: str, steps: Steps) -> RenderableType:
    rows = table(name, "block", "writes")
    for depth, title, block in _outline(steps):
        indented = "  " * depth + one_line(title)
        if block is None:
            rows.add_row(Text(indented, style="dim"), "", "")
        else:
            rows.add_row(indented, block.kind, ", ".join(written(block)))
    return rows


def _outline(steps: Steps, depth: int = 0) -> Iterator[tuple[int, str, AnyBlock | None]]:
    """Yield each step with its depth and its name, and before lists with a name of their own that name, without a block."""
    for block in steps:
        yield depth, block.name, block
        for label, inner in zip(_labels(block), nested(block), strict=True):
            if label is None:
                yield from _outline(inner, depth + 1)
            elif inner:
                yield depth + 1, f"{label}:", None
                yield from _outline(inner, depth + 2)


def _labels(block: AnyBlock) -> Sequence[str | None]:
    match block:
        case If():
            return ("then", "else")
        case Branch(cases=cases):
            return (*cases, "default")
        case Parallel(branches=branches):
            return tuple(branches)
        case _:
            return (None,) * len(nested(block))
