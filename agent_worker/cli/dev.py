"""`agent-worker dev`: everything in one terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from agent_worker import app
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
    processes: Processes = None,
    concurrency: Concurrency = None,
    processor: Scripts = None,
    database_url: DatabaseUrl = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON when ready, and nothing else.")
    ] = False,
) -> None:
    """Start a database and a worker here, ready to try.

    Without DATABASE_URL this is the embedded PostgreSQL in AGENT_WORKER_DATA_DIR, with its tables made; the data
    stays for the next time. Ctrl-C stops it all. Logs go to standard error. --json prints
    `{"database_url", "pid", "workers", "kinds", "model"}` once a worker is live, and runs until SIGTERM.
    """
    began = time.monotonic()
    scripts = processor or []
    settings = read_settings(
        scripts=scripts, database_url=database_url, processes=processes, concurrency=concurrency
    )
    configure_logging(level=settings.log_level, log_format=settings.log_format)
    kinds = sorted(settings.kinds or processor_classes(scripts))
    with lasting_database(settings) as url:

        def tell(workers: Sequence[str]) -> None:
            if as_json:
                print_json_line(_document(settings, url, workers, kinds))
            else:
                show(*_block(settings, url, workers, kinds, took_s=time.monotonic() - began))
                sys.stdout.flush()

        asyncio.run(app.ready_database(url, is_ours=settings.database_url is None))
        code = asyncio.run(
            run_processes(settings, url, scripts=scripts, on_ready=tell, output=sys.stderr.buffer)
        )
    raise typer.Exit(code)


def _document(settings: Settings, url: str, workers: Sequence[str], kinds: Sequence[str]) -> JsonObject:
    return {
        "database_url": url,
        "pid": os.getpid(),
        "workers": list(workers),
        "kinds": list(kinds),
        "model": app.chat_models(settings).default_id,
    }


def _block(
    settings: Settings, url: str, workers: Sequence[str], kinds: Sequence[str], *, took_s: float
) -> Iterator[RenderableType]:
    """Yield the frame: rules above and below only, so that what is in it can be copied by lines."""
    models = app.chat_models(settings)
    facts = table("name", "value", header=False, folds=True)
    facts.add_row(_dim("database"), _database(settings, url))
    facts.add_row(_dim("workers"), f"{len(workers)} · {settings.concurrency} tasks at once in each")
    facts.add_row(_dim("kinds"), ", ".join(kinds))
    facts.add_row(_dim("model"), f"{models.default_id} · {models.default_reason}")
    yield Rule(f"agent-worker · ready in {precise(took_s)}", align="left", style="dim")
    yield facts
    yield Text()
    yield _dim("Try it in another terminal, in this folder:")
    option = "" if settings.database_url is None else " --database-url …"
    program = program_here()
    yield Text(f'  {program} submit{option} "What is a queue?" --stream')
    yield Text(f"  {program} watch{option}")
    yield Text()
    yield _dim("Or insert a row with anything that speaks SQL:")
    yield Text(f"  psql '{url}'", no_wrap=True, overflow="ignore")
    yield Text("  INSERT INTO agent_task_requests (request_payload)")
    yield Text("""    VALUES ('{"prompt": "What is a queue?"}') RETURNING id;""")
    yield Text("  SELECT status, response_payload ->> 'answer' FROM agent_task_requests;")
    yield Text()
    yield _dim("Ctrl-C stops it. Tasks that run may finish; nothing is lost.")
    yield Rule(style="dim")


def _dim(text: str) -> Text:
    return Text(text, style="dim")


def _database(settings: Settings, url: str) -> str:
    where = describe_target(complete_conninfo(url))
    return where if settings.database_url is not None else f"{where} · PostgreSQL kept in {settings.data_dir}"
