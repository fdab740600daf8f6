"""`agent-worker tasks retry`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from agent_worker.cli.exits import tell
from agent_worker.cli.options import AsJson, DatabaseUrl, TaskIds, since_moment
from agent_worker.cli.screen import one_line, print_json, show, table
from agent_worker.cli.session import read_settings, with_database
from agent_worker.cli.tasks_cancel import find_all, print_changes
from agent_worker.db.connection import Database
from agent_worker.db.redrive import EndedFilter, EndedGroup, Redrive, Redriven
from agent_worker.db.tasks import Tasks
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.domain.records import Change
from agent_worker.domain.task import TaskStatus
from agent_worker.settings import Settings


def tasks_retry(
    ids: TaskIds = None,
    *,
    all_failed: Annotated[
        bool, typer.Option("--all-failed", help="Instead of ids: all that have failed.")
    ] = False,
    status: Annotated[
        TaskStatus | None,
        typer.Option(
            metavar="STATUS", help="Instead of ids: all that are failed, or cancelled, or completed."
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Of those, only this kind.")] = None,
    code: Annotated[
        str | None, typer.Option(metavar="CODE", help="Of those, only with this error code.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="Of those, ended within a span such as 1h, or since a time."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Of those, only so many, the oldest first.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count them by kind and code, and change nothing.")
    ] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run ended tasks again.

    Name tasks, or choose them: `agent-worker tasks retry --all-failed --since 1h`. Each gets as many attempts as it
    had; tasks that have not ended stay as they are. Thousands go in batches: Ctrl-C loses nothing, and the same
    command again does the rest. --json prints a list of `{"id", "before", "after"}`; of chosen tasks
    `{"matched", "retried", "skipped", "groups": [{"kind", "code", "tasks"}]}`.
    """
    chosen = _chosen(status, all_failed=all_failed)
    if bool(ids) == (chosen is not None):
        raise typer.BadParameter("name tasks by their ids, or choose them with --all-failed or --status")
    settings = read_settings(database_url=database_url)
    if chosen is None:
        if dry_run or any(each is not None for each in (kind, code, since, limit)):
            raise typer.BadParameter("ids say which tasks; leave out the options that choose")
        _retry_named(settings, ids or [], as_json=as_json)
        return
    if chosen is TaskStatus.COMPLETED and since is None and limit is None:
        raise typer.BadParameter("all of history would run again; add --since or --limit")
    wanted = EndedFilter(status=chosen, kind=kind, code=code, since=since_moment(since), limit=limit)
    _retry_chosen(settings, wanted, dry_run=dry_run, as_json=as_json)


def _chosen(status: TaskStatus | None, *, all_failed: bool) -> TaskStatus | None:
    if status is not None and not status.is_final:
        raise typer.BadParameter(
            f"a {status.value} task has not ended; choose failed, cancelled or completed"
        )
    if not all_failed:
        return status
    if status not in {None, TaskStatus.FAILED}:
        raise typer.BadParameter("--all-failed and --status choose different tasks; say one of them")
    return TaskStatus.FAILED


def _retry_named(settings: Settings, ids: Sequence[str], *, as_json: bool) -> None:
    async def work(db: Database) -> list[Change]:
        return await Tasks(db).retry(await find_all(db, ids))

    changes = with_database(settings, work)
    if as_json:
        print_json([change.as_json() for change in changes])
    else:
        print_changes(changes, unfinished="is running already")


def _retry_chosen(settings: Settings, wanted: EndedFilter, *, dry_run: bool, as_json: bool) -> None:
    async def work(db: Database) -> tuple[list[EndedGroup], Redriven]:
        redrive = Redrive(db, wanted)
        groups = await redrive.count()
        done = Redriven(0, 0) if dry_run else await _run(redrive, sum(group.tasks for group in groups))
        return groups, done

    groups, done = with_database(settings, work)
    matched = sum(group.tasks for group in groups)
    if as_json:
        counts = {"matched": matched, "retried": done.retried, "skipped": done.skipped}
        print_json({**counts, "groups": [group.as_json() for group in groups]})
    elif not groups:
        print("no such tasks")
    elif dry_run:
        _show_groups(groups)
        print(f"{matched} would run again")
    else:
        print(f"{done.retried} run again")
        if done.skipped:
            print(
                f"{done.skipped} were left: somebody else came first, or an unfinished task has their dedupe key"
            )


async def _run(redrive: Redrive, total: int) -> Redriven:
    done = Redriven(0, 0)
    with _bar(total) as advance:
        try:
            async for batch in redrive.run():
                done = Redriven(done.retried + batch.retried, done.skipped + batch.skipped)
                advance(batch.retried + batch.skipped)
        except (asyncio.CancelledError, DatabaseUnavailable):
            tell("note", f"stopped after {done.retried} of {total} · the same command again does the rest")
            raise
    return done


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on a terminal."""
    columns = (BarColumn(bar_width=40), MofNCompleteColumn(), TimeRemainingColumn())
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("tasks", total=total)
        yield lambda count: progress.advance(bar, count)


def _show_groups(groups: Sequence[EndedGroup]) -> None:
    rows = table("kind", "tasks", "code", right=("tasks",))
    for group in groups:
        rows.add_row(one_line(group.kind), str(group.tasks), one_line(group.code or "-"))
    show(rows)
