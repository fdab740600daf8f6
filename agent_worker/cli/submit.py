"""`agent-worker submit`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from agent_worker import app
from agent_worker.cli.exits import tell
from agent_worker.cli.options import AsJson, DatabaseUrl, json_object, moment
from agent_worker.cli.screen import print_json, print_json_line
from agent_worker.cli.session import read_settings
from agent_worker.client import AsyncClient, TaskColumns
from agent_worker.db.connection import Database
from agent_worker.db.report import Report
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskResult
from agent_worker.settings import Settings


def submit(
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT", help="The prompt; - reads it from standard input.", show_default=False
        ),
    ] = None,
    *,
    kind: Annotated[str, typer.Option(metavar="KIND", help="Which processor answers.")] = "chat",
    payload: Annotated[
        str | None, typer.Option(metavar="JSON", help="The input as a JSON object; a prompt is added to it.")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="PROVIDER/MODEL", help="Which model answers.")] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the model should be and do.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer and print it.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    priority: Annotated[int, typer.Option(metavar="0-9", help="Higher first.")] = 0,
    max_attempts: Annotated[int, typer.Option(metavar="N", help="Attempts allowed, 1 to 25.")] = 3,
    timeout_s: Annotated[int | None, typer.Option(metavar="S", help="Limit of one attempt.")] = None,
    run_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not before: a span such as 10m, or a time.")
    ] = None,
    dedupe_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Refuse while an unfinished task has this key.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(metavar="ID", help="The task's enterprise_id.")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Insert a task, and wait for its answer if you like.

    Prints the task's id; with --wait or --stream the answer, and exits with 1 when the task fails. --json prints
    `{"id"}`, with --wait the result, with --stream one event a line.
    """
    columns: TaskColumns = {
        "kind": kind,
        "priority": priority,
        "max_attempts": max_attempts,
        "timeout_s": timeout_s,
        "run_at": None if run_at is None else moment(run_at, now=datetime.now(UTC), is_past=False),
        "dedupe_key": dedupe_key,
        "enterprise_id": tenant,
    }
    request = _request(text, payload, model=model, system=system)
    settings = read_settings(database_url=database_url)
    with app.database(settings) as url:
        asyncio.run(_submit(settings, url, request, columns, waits=wait, streams=stream, as_json=as_json))


def _request(text: str | None, payload: str | None, *, model: str | None, system: str | None) -> JsonObject:
    if text is None and payload is None:
        raise typer.BadParameter("there is nothing to submit; give a TEXT, or --payload JSON")
    request: dict[str, JsonValue] = {} if payload is None else json_object("--payload", payload)
    given = {"prompt": sys.stdin.read() if text == "-" else text, "model": model, "system": system}
    for name, value in given.items():
        if value is not None and name in request:
            raise typer.BadParameter(f"the payload has a {name} already; say it once")
    return request | {name: value for name, value in given.items() if value is not None}


async def _submit(
    settings: Settings,
    url: str,
    request: JsonObject,
    columns: TaskColumns,
    *,
    waits: bool,
    streams: bool,
    as_json: bool,
) -> None:
    await app.ready_database(url, is_ours=settings.database_url is None)
    async with AsyncClient(url, patience_s=5.0) as client:
        task_id = await client.submit(request, **columns)
        async with Database(url) as db:
            await warn_if_nobody_offers(db, columns["kind"])
        if streams:
            await _stream(client, task_id, as_json=as_json)
        elif waits:
            _print_answer(await client.wait(task_id), as_json=as_json)
        elif as_json:
            print_json({"id": str(task_id)})
        else:
            print(task_id)


async def warn_if_nobody_offers(db: Database, kind: str) -> None:
    """Tell when no live worker would answer tasks of a kind; a typo looks the same."""
    found = await Report(db).status()
    if not found.offering(kind):
        tell("note", f"no live worker offers {kind} · the task waits for one · run: agent-worker run")


async def _stream(client: AsyncClient, task_id: UUID, *, as_json: bool) -> None:
    if as_json:
        async for event in client.stream(task_id):
            print_json_line(event.as_json())
        return
    has_spoken = False
    async for piece in client.stream_text(task_id):
        if piece.restarted and has_spoken:
            tell("note", "another attempt begins; the text so far is void")
        print(piece.text, end="", flush=True)
        has_spoken = True
    if has_spoken:
        print()
    else:
        _print_answer(await client.look(task_id), as_json=False)


def _print_answer(result: TaskResult, *, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
    elif isinstance(answer := result.response.get("answer"), str):
        print(answer)
    else:
        print_json(result.response)
