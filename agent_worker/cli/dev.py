"""`agent-worker dev`: everything in one terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from agent_worker import app
from agent_worker.app_gateway import (
    RunningGateway,
    has_dashboard,
    port_or_free,
    require_installed,
    running_gateway,
)
from agent_worker.cli.lasting import lasting_database
from agent_worker.cli.options import Concurrency, DatabaseUrl, Processes, Scripts
from agent_worker.cli.processes import run_processes
from agent_worker.cli.screen import print_json_line, program_here, show, table
from agent_worker.cli.session import read_settings
from agent_worker.cli.timeline import precise
from agent_worker.db.connection import complete_conninfo, describe_target
from agent_worker.domain.json import JsonObject
from agent_worker.registry import processor_classes
from agent_worker.settings import Settings
from agent_worker.telemetry import configure_logging


def dev(
    *,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Port of the API and the dashboard; 0 takes a free one. [default: 54321, or a free one]",
        ),
    ] = None,
    processes: Processes = None,
    concurrency: Concurrency = None,
    processor: Scripts = None,
    database_url: DatabaseUrl = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready, and nothing else.")
    ] = False,
) -> None:
    """Start a database, the API that browsers use, the dashboard and a worker here, ready to try.

    Without DATABASE_URL this is the embedded PostgreSQL in AGENT_WORKER_DATA_DIR, with its tables made; data and keys
    stay for the next time. Ctrl-C stops it all. Logs go to standard error. --json prints `{"url", "publishable_key",
    "secret_key", "jwt_secret", "database_url", "dashboard_url", "pid", "workers", "kinds", "model"}` once a worker is
    live, and runs until SIGTERM.
    """
    began = time.monotonic()
    scripts = processor or []
    settings = port_or_free(
        read_settings(
            scripts=scripts,
            database_url=database_url,
            processes=processes,
            concurrency=concurrency,
            gateway_port=port,
        )
    )
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    require_installed()
    kinds = sorted(settings.kinds or processor_classes(scripts))
    with lasting_database(settings) as url:

        def tell(gateway: RunningGateway, workers: Sequence[str]) -> None:
            if as_json:
                print_json_line(_document(settings, url, gateway, workers, kinds))
            else:
                took_s = time.monotonic() - began
                show(*_block(settings, url, gateway, workers, kinds, took_s=took_s))
                sys.stdout.flush()

        asyncio.run(app.ready_database(url, is_ours=settings.database_url is None))
        code = asyncio.run(_serve(settings, url, scripts, tell))
    raise typer.Exit(code)


async def _serve(
    settings: Settings,
    url: str,
    scripts: Sequence[str],
    tell: Callable[[RunningGateway, Sequence[str]], None],
) -> int:
    """Run workers and gateway side by side until the workers have ended; returns their exit code."""
    live: asyncio.Future[Sequence[str]] = asyncio.get_running_loop().create_future()
    # First, for it only starts processes: they import their things while this one imports the gateway's.
    workers = asyncio.create_task(
        run_processes(settings, url, scripts=scripts, on_ready=live.set_result, output=sys.stderr.buffer)
    )
    await asyncio.sleep(0)
    try:
        is_ours = settings.database_url is None
        async with running_gateway(settings, url, auth=is_ours, has_operator=is_ours) as gateway:
            await asyncio.wait((workers, live), return_when=asyncio.FIRST_COMPLETED)
            if live.done():
                tell(gateway, live.result())
            return await workers
    finally:
        workers.cancel()
        await asyncio.gather(workers, return_exceptions=True)


def _document(
    settings: Settings, url: str, gateway: RunningGateway, workers: Sequence[str], kinds: Sequence[str]
) -> JsonObject:
    return {
        "url": gateway.server.url,
        "publishable_key": gateway.keys.publishable.get_secret_value(),
        "secret_key": gateway.keys.secret.get_secret_value(),
        "jwt_secret": gateway.jwt_secret.get_secret_value() if gateway.jwt_secret else None,
        "database_url": url,
        "dashboard_url": f"{gateway.server.url}/",
        "pid": os.getpid(),
        "workers": list(workers),
        "kinds": list(kinds),
        "model": app.chat_models(settings).default_id,
    }


def _block(
    settings: Settings,
    url: str,
    gateway: RunningGateway,
    workers: Sequence[str],
    kinds: Sequence[str],
    *,
    took_s: float,
) -> Iterator[RenderableType]:
    """Yield the frame: rules above and below only, so that what is in it can be copied by lines."""
    models = app.chat_models(settings)
    key = gateway.keys.publishable.get_secret_value()
    facts = table("name", "value", header=False, folds=True)
    facts.add_row(
        _dim("dashboard"), f"{gateway.server.url}/" if has_dashboard() else "not built · run: make dashboard"
    )
    facts.add_row(_dim("API URL"), gateway.server.url)
    facts.add_row(_dim("publishable key"), key)
    facts.add_row(_dim("secret key"), gateway.keys.secret.get_secret_value())
    facts.add_row(_dim("database"), _database(settings, url))
    facts.add_row(_dim("workers"), f"{len(workers)} · {settings.concurrency} tasks at once in each")
    facts.add_row(_dim("kinds"), ", ".join(kinds))
    facts.add_row(_dim("model"), f"{models.default_id} · {models.default_reason}")
    yield Rule(f"agent-worker · ready in {precise(took_s)}", align="left", style="dim")
    yield facts
    yield Text()
    yield _dim("In a page, with the official client:")
    for line in _snippet(gateway.server.url, key):
        yield Text(f"  {line}", no_wrap=True, overflow="ignore")
    yield Text()
    yield _dim("In another terminal, in this folder:")
    option = "" if settings.database_url is None else " --database-url …"
    yield Text(f'  {program_here()} submit{option} "What is a queue?" --stream')
    yield Text(f"  psql '{url}'", no_wrap=True, overflow="ignore")
    yield Text()
    yield _dim("Ctrl-C stops it. Tasks that run may finish; nothing is lost.")
    yield Rule(style="dim")


def _snippet(url: str, key: str) -> tuple[str, ...]:
    """Lines that ask once changes flow, so that none is missed, and show what becomes of the task."""
    return (
        f"const supabase = createClient('{url}',",
        f"  '{key}')",
        "await supabase.auth.signInAnonymously()",
        "const table = 'agent_task_requests', prompt = 'What is a queue?'",
        "supabase.channel('tasks')",
        "  .on('postgres_changes', { event: 'UPDATE', schema: 'public', table },",
        "    ({ new: task }) => console.log(task.status, task.response_payload))",
        "  .on('system', {}, () => supabase.from(table).insert({ request_payload: { prompt } }).then())",
        "  .subscribe()",
    )


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _database(settings: Settings, url: str) -> str:
    where = describe_target(complete_conninfo(url))
    return where if settings.database_url is not None else f"{where} · PostgreSQL kept in {settings.data_dir}"
