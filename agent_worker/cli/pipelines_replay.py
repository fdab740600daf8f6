"""`agent-worker pipelines replay`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from agent_worker import app
from agent_worker.cli.options import AsJson, DatabaseUrl, input_values
from agent_worker.cli.run_follow import other_option, run_and_follow
from agent_worker.cli.run_story import JsonLines, Story, Teller
from agent_worker.cli.screen import console
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.tasks_show import all_events
from agent_worker.client import AsyncClient
from agent_worker.client.forking import fork
from agent_worker.db.connection import Database
from agent_worker.db.tasks import Tasks
from agent_worker.domain.client_errors import TaskNotFound
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.records import TaskEvent, TaskResult
from agent_worker.pipelines.names import PIPELINE


def pipelines_replay(
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The id; its first digits are enough.")],
    *,
    from_step: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STEP",
            help="Run it again from this step on, as a run of its own, and follow it.",
        ),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|@FILE", help="With --from: other values of its inputs."),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Tell a run of the past, or one that still runs, as far as it is.

    Nothing runs again: what it said is in the database. With --from, a new run begins at a step of the definition's
    outermost list with what the steps before it have done, and is told as `pipelines run` tells one. --json prints one
    event a line.
    """
    if from_step is not None:
        _fork(task_id, from_step, given, database_url, as_json=as_json)
        return
    if given is not None:
        raise typer.BadParameter("--input is for a new run; say with --from where it begins")
    result, events = with_database(read_settings(database_url=database_url), lambda db: _read(db, task_id))
    teller: Teller = JsonLines(result.id) if as_json else Story(console(), result.id, is_live=False)
    for event in events:
        teller.hear(event)
    teller.end(result)


async def _read(db: Database, prefix: str) -> tuple[TaskResult, list[TaskEvent]]:
    tasks = Tasks(db)
    found = await tasks.get(await tasks.find_by_prefix(prefix))
    result = None if found is None else await tasks.look(found.id)
    if found is None or result is None:
        raise TaskNotFound(f"the task {prefix} has just been deleted")
    if found.kind != PIPELINE:
        raise ConfigurationError(
            f"{str(found.id)[:8]} is a task of the kind {found.kind}, not a pipeline · "
            f"run: agent-worker tasks show {str(found.id)[:8]} --events"
        )
    return result, await all_events(tasks, found, most=None)


def _fork(
    task_id: str, from_step: str, given: str | None, database_url: str | None, *, as_json: bool
) -> None:
    values = None if given is None else input_values(given)
    settings = read_settings(database_url=database_url, kinds=PIPELINE)
    app.require_database(settings)

    async def start(db: Database, _client: AsyncClient) -> UUID:
        return await fork(db, await Tasks(db).find_by_prefix(task_id), from_step, given=values)

    run_and_follow(settings, start, as_json=as_json, option=other_option(database_url))
