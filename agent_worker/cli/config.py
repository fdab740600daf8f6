"""`agent-worker config`: every setting, its value and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl, Scripts
from agent_worker.cli.screen import print_json, show, table
from agent_worker.cli.session import read_settings
from agent_worker.cli.settings_report import Row, env_example, rows
from agent_worker.registry import processor_classes


def config(
    *,
    env_example_only: Annotated[
        bool, typer.Option("--env-example", help="Print a .env file with every setting and its meaning.")
    ] = False,
    processor: Scripts = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value and where it comes from.

    Secrets are masked. --json prints a list of `{"name", "value", "source", "description", "owner"}`.
    """
    classes = processor_classes(processor or [])
    if env_example_only:
        print(env_example(classes), end="")
        return
    settings = read_settings(scripts=processor, database_url=database_url)
    found = rows(settings, classes, typed={"database_url"} if database_url else set())
    if as_json:
        print_json([row.as_json() for row in found])
    else:
        show(*_parts(found))


def _parts(found: Sequence[Row]) -> Iterator[RenderableType]:
    made = table("name", "value", "source")
    owner = found[0].owner
    for row in found:
        if row.owner != owner:
            made.add_row("", "", "")
            owner = row.owner
        is_default = row.source == "default"
        style = "dim" if is_default else ""
        made.add_row(row.name, Text(row.value, style=style), Text(row.source, style=style))
    yield made
