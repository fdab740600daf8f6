"""`agent-worker tasks cancel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer

from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import print_json, short_ids, show, state, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.connection import Database
from agent_worker.db.tasks import Tasks
from agent_worker.domain.records import Change
from agent_worker.domain.task import TaskStatus


def tasks_cancel(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids; their first digits are enough.")],
    *,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Stop tasks.

    A pending or waiting task stops at once, a running one within seconds. Tasks that have ended stay as they are.
    --json prints a list of `{"id", "before", "after"}`.
    """

    async def work(db: Database) -> list[Change]:
        return await Tasks(db).cancel(await find_all(db, ids))

    changes = with_database(read_settings(database_url=database_url), work)
    if as_json:
        print_json([change.as_json() for change in changes])
    else:
        print_changes(changes, unfinished="is being stopped by its worker")


async def find_all(db: Database, prefixes: Sequence[str]) -> list[UUID]:
    """Return the full ids.

    Raises:
        TaskNotFound: One of them fits no task, or several.
    """
    tasks = Tasks(db)
    return [await tasks.find_by_prefix(prefix) for prefix in prefixes]


def print_changes(changes: Sequence[Change], *, unfinished: str) -> None:
    """Print what became of each task.

    Args:
        changes: One per task.
        unfinished: What to say of a task that is processing before and after.
    """
    names = short_ids(change.id for change in changes)
    rows = table("id", "status", "note", header=False)
    for change in changes:
        before, after = change.before or TaskStatus.CANCELLED, change.after or TaskStatus.CANCELLED
        if before is not after:
            note = f"was {before.value}"
        else:
            note = unfinished if after is TaskStatus.PROCESSING else "unchanged"
        rows.add_row(names[change.id], state(after), note)
    show(rows)
