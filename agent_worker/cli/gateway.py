"""`agent-worker gateway`: the API that browsers use."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from agent_worker import app
from agent_worker.app_gateway import RunningGateway, require_closed, require_installed, serve_gateway
from agent_worker.cli.lasting import lasting_database
from agent_worker.cli.options import DatabaseUrl
from agent_worker.cli.screen import print_json_line, show, table
from agent_worker.cli.session import read_settings
from agent_worker.domain.json import JsonObject
from agent_worker.telemetry import configure_logging


def gateway(
    *,
    host: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Address to listen on. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port; 0 takes a free one. [default: 54321]")
    ] = None,
    auth: Annotated[
        bool, typer.Option("--auth", help="Serve auth/v1 too: sign-in without mail, for development.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready, and nothing else.")
    ] = False,
) -> None:
    """Serve the API that browsers use in the place of Supabase's.

    supabase-js and supabase-py work with it as they do with a project: createClient(URL, KEY). Keys that no setting
    names are made once and kept in AGENT_WORKER_DATA_DIR/keys.json. Ctrl-C or SIGTERM stops it. --json prints
    `{"url", "pid", "parts", "publishable_key", "keys_file"}` once it answers.
    """
    settings = read_settings(
        database_url=database_url, gateway_host=host, gateway_port=port, gateway_auth=auth or None
    )
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    require_installed()
    require_closed(settings)

    def tell(running: RunningGateway) -> None:
        if as_json:
            print_json_line(_document(running))
        else:
            show(*_block(running))
            sys.stdout.flush()

    with lasting_database(settings) as url:
        asyncio.run(app.ready_database(url, is_ours=settings.database_url is None))
        asyncio.run(serve_gateway(settings, url, on_started=tell))


def _document(running: RunningGateway) -> JsonObject:
    return {
        "url": running.server.url,
        "pid": os.getpid(),
        "parts": list(running.parts),
        "publishable_key": running.keys.publishable.get_secret_value(),
        "keys_file": str(running.keyring) if running.keyring else None,
    }


def _block(running: RunningGateway) -> Iterator[RenderableType]:
    secret = f"in {running.keyring}" if running.keyring else "AGENT_WORKER_SECRET_KEY"
    facts = table("name", "value", header=False, folds=True)
    facts.add_row(Text("API URL", style="dim"), running.server.url)
    facts.add_row(Text("publishable key", style="dim"), running.keys.publishable.get_secret_value())
    facts.add_row(Text("secret key", style="dim"), secret)
    facts.add_row(Text("serves", style="dim"), " · ".join(running.parts) or "nothing but health and metrics")
    yield Rule("agent-worker gateway", align="left", style="dim")
    yield facts
    yield Rule(style="dim")
