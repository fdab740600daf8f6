"""`agent-worker run`: workers in production."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from agent_worker import app
from agent_worker.cli.lasting import lasting_database
from agent_worker.cli.options import Concurrency, DatabaseUrl, Processes, Scripts
from agent_worker.cli.processes import run_processes
from agent_worker.cli.session import read_settings
from agent_worker.db.project import Project
from agent_worker.settings import Settings
from agent_worker.telemetry import configure_logging
from agent_worker.worker.supervisor import SupervisorLink


def run(
    *,
    processes: Processes = None,
    concurrency: Concurrency = None,
    kinds: Annotated[
        str | None, typer.Option(metavar="A,B", help="Kinds to offer. [default: all that are found]")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name of the worker; several processes get a number each. [default: made up]"
        ),
    ] = None,
    processor: Scripts = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Serve /metrics, /healthz and /readyz here; process n on PORT + n."
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error. [default: info]")
    ] = None,
    database_url: DatabaseUrl = None,
    supervised: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run workers until they are told to stop.

    SIGTERM or Ctrl-C drains: no new tasks, and those that run may finish (AGENT_WORKER_SHUTDOWN_GRACE_S); what is
    left then goes back to the queue. A second one stops at once. Nothing is lost either way.

    With SUPABASE_URL and SUPABASE_SERVICE_KEY instead of DATABASE_URL it works in that project over HTTP. With neither
    the embedded PostgreSQL in AGENT_WORKER_DATA_DIR is used. Every option has an environment
    variable; `agent-worker config` lists them all.
    """
    scripts = processor or []
    settings = read_settings(
        scripts=scripts,
        database_url=database_url,
        processes=processes,
        concurrency=concurrency,
        kinds=kinds,
        name=name,
        metrics_port=metrics_port,
        log_level=log_level,
    )
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    if supervised is not None:
        _run_supervised(settings, scripts, SupervisorLink(supervised))
        return
    with _ready_place(settings) as place:
        if settings.processes == 1:
            asyncio.run(app.run_worker(settings, place, scripts=scripts))
            return
        code = asyncio.run(run_processes(settings, place, scripts=scripts))
    raise typer.Exit(code)


@contextlib.contextmanager
def _ready_place(settings: Settings) -> Iterator[str | Project]:
    """Yield where the worker's tables are, having made sure that they fit."""
    if settings.is_over_http:
        project = app.project(settings)
        asyncio.run(app.ready_project(project))
        yield project
        return
    with lasting_database(settings) as url:
        asyncio.run(app.ready_database(url, is_ours=settings.database_url is None))
        yield url


def _run_supervised(settings: Settings, scripts: list[str], link: SupervisorLink) -> None:
    """Be one of the processes of another `run`, which has made the database ready."""
    link.follow()
    with contextlib.ExitStack() as stack:
        over_http = settings.is_over_http
        place = app.project(settings) if over_http else stack.enter_context(app.database(settings))
        asyncio.run(app.run_worker(settings, place, scripts=scripts, on_started=link.announce))
