"""`agent-worker pipelines replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.run_follow import KIND
from agent_worker.cli.run_story import JsonLines, Story, Teller
from agent_worker.cli.screen import console
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.tasks_show import all_events
from agent_worker.db.connection import Database
from agent_worker.db.tasks import Tasks
from agent_worker.domain.client_errors import TaskNotFound
from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.records import TaskEvent, TaskResult


def pipelines_replay(
    task_id: Annotated[str, typer.Argument(metavar="TASK", help="The id; its first digits are enough.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Tell a run of the past, or one that still runs, as far as it is.

    Nothing runs again: what it said is in the database. --json prints one event a line.
    """

    async def work(db: Database) -> tuple[TaskResult, list[TaskEvent]]:
        tasks = Tasks(db)
        found = await tasks.get(await tasks.find_by_prefix(task_id))
        result = None if found is None else await tasks.look(found.id)
        if found is None or result is None:
            raise TaskNotFound(f"the task {task_id} has just been deleted")
        if found.kind != KIND:
            raise ConfigurationError(
                f"{str(found.id)[:8]} is a task of the kind {found.kind}, not a pipeline · "
                f"run: agent-worker tasks show {str(found.id)[:8]} --events"
            )
        return result, await all_events(tasks, found, most=None)

    result, events = with_database(read_settings(database_url=database_url), work)
    teller: Teller = JsonLines() if as_json else Story(console(), result.id, is_live=False)
    for event in events:
        teller.hear(event)
    teller.end(result)
