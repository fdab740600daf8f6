"""`agent-worker tasks show`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import one_line, print_json, show, size, state, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.timeline import Moment, precise, timeline
from agent_worker.db.connection import Database
from agent_worker.db.report import Report
from agent_worker.db.tasks import EVENTS_PER_PAGE, Tasks
from agent_worker.domain.client_errors import TaskNotFound
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent, TaskRecord

MOST_EVENTS = 20_000
LONGEST_TEXT = 240
MOST_LINES = 24


def tasks_show(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The id; its first digits are enough.")],
    *,
    with_events: Annotated[bool, typer.Option("--events", help="Print every event, too.")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one task: what happened when, what went in and what came out.

    Long payloads are cut; --json prints all of it: the row's fields, `timeline`, and with --events `events`.
    """

    async def work(db: Database) -> tuple[TaskRecord, list[TaskEvent], list[Moment]]:
        tasks = Tasks(db)
        found = await tasks.get(await tasks.find_by_prefix(task_id))
        if found is None:
            raise TaskNotFound(f"the task {task_id} has just been deleted")
        events = await all_events(tasks, found)
        names = {worker.id: worker.name for worker in (await Report(db).status()).workers}
        return found, events, timeline(found, events, workers=names)

    task, events, moments = with_database(read_settings(database_url=database_url), work)
    if as_json:
        document = {**task.as_json(), "timeline": [moment.as_json() for moment in moments]}
        if with_events:
            document["events"] = [event.as_json() for event in events]
        print_json(document)
        return
    show(*_parts(task, moments))
    if with_events:
        show(Text(), _events(task, events))


async def all_events(tasks: Tasks, task: TaskRecord, *, most: int | None = MOST_EVENTS) -> list[TaskEvent]:
    """Return what a task has said so far, at most `most` events and what else is on their page."""
    events: list[TaskEvent] = []
    while most is None or len(events) < most:
        page = await tasks.events(task.id, after_seq=events[-1].seq if events else 0)
        events += page
        if len(page) < EVENTS_PER_PAGE:
            break
    return events


def _parts(task: TaskRecord, moments: Sequence[Moment]) -> Iterator[RenderableType]:
    yield Text.assemble((str(task.id), "bold"), "  ", one_line(task.kind), "  ", state(task.status))
    yield Text()
    yield _timeline(moments)
    yield from _payload("request", task.request_payload)
    if task.response_payload is not None:
        yield from _payload("response", task.response_payload)


def _timeline(moments: Sequence[Moment]) -> RenderableType:
    rows = table("after", "what", "detail", right=("after",), header=False, folds=True)
    for moment in moments:
        is_first = moment is moments[0]
        after = f"{moment.at.astimezone():%H:%M:%S}" if is_first else f"+{precise(moment.after_s)}"
        rows.add_row(Text(after, style="dim"), moment.what, one_line(moment.detail))
    return rows


def _payload(name: str, payload: JsonObject) -> Iterator[RenderableType]:
    yield Text()
    yield Text(f"{name}  {size(json.dumps(payload, ensure_ascii=False))}", style="dim")
    lines = json.dumps(_cut(payload), ensure_ascii=False, indent=2).splitlines()
    yield Text("\n".join(lines[:MOST_LINES]))
    if len(lines) > MOST_LINES:
        yield Text(f"… {len(lines) - MOST_LINES} more lines; --json shows all", style="dim")


def _cut(value: JsonValue) -> JsonValue:
    """Shorten long strings, wherever they stand."""
    match value:
        case str() if len(value) > LONGEST_TEXT:
            return f"{value[:LONGEST_TEXT]}… ({size(value)})"
        case dict():
            return {key: _cut(item) for key, item in value.items()}
        case list():
            return [_cut(item) for item in value]
        case _:
            return value


def _events(task: TaskRecord, events: Sequence[TaskEvent]) -> RenderableType:
    rows = table("seq", "after", "event", "data", right=("seq", "after"))
    for event in events:
        after_s = (event.created_at - task.created_at).total_seconds()
        data = json.dumps(event.data, ensure_ascii=False)
        rows.add_row(str(event.seq), f"+{precise(after_s)}", one_line(event.type), one_line(data))
    return rows
