"""`agent-worker watch`: the fleet in one place, while it changes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import termios
import tty
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from agent_worker.cli import status, tasks_list
from agent_worker.cli.options import AsJson, DatabaseUrl
from agent_worker.cli.screen import console, print_json_line
from agent_worker.cli.session import read_settings, with_database
from agent_worker.db.connection import Database
from agent_worker.db.report import Report
from agent_worker.db.tasks import TaskFilter, Tasks
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.domain.health import FleetStatus, diagnose
from agent_worker.domain.records import TaskList

NEWEST = 50


def watch(
    *,
    interval_s: Annotated[
        float, typer.Option(min=0.2, max=60, metavar="S", help="Seconds between looks.")
    ] = 1.0,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Follow the fleet live.

    The same facts as `status` and the newest tasks, in place. q or Ctrl-C ends it. --json prints the document of
    `status --json` again and again, one a line; without a terminal the first line of `status` is printed whenever it
    changes.
    """

    async def work(db: Database) -> None:
        if as_json:
            await _repeat(interval_s, lambda: _print_document(db))
        elif sys.stdout.isatty() and sys.stdin.isatty():
            await _live(db, interval_s)
        else:
            await _repeat(interval_s, _Sentences(db).print_if_new)

    with_database(read_settings(database_url=database_url), work)


async def _repeat(interval_s: float, look: Callable[[], Awaitable[None]]) -> None:
    while True:
        await look()
        await asyncio.sleep(interval_s)


async def _print_document(db: Database) -> None:
    print_json_line(status.as_document(await Report(db).status()))


class _Sentences:
    """Prints the diagnosis when it is another one than before."""

    def __init__(self, db: Database) -> None:
        self._report = Report(db)
        self._last = ""

    async def print_if_new(self) -> None:
        sentence = diagnose(await self._report.status()).sentence
        if sentence != self._last:
            print(sentence, flush=True)
        self._last = sentence


async def _live(db: Database, interval_s: float) -> None:
    screen = console()
    quits = asyncio.Event()
    with (
        _keys(lambda key: quits.set() if key in "qQ" else None),
        Live(console=screen, screen=True, auto_refresh=False, vertical_overflow="crop") as live,
    ):
        while not quits.is_set():
            live.update(await _view(db), refresh=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(interval_s):
                    await quits.wait()


async def _view(db: Database) -> RenderableType:
    try:
        found = await Report(db).status()
        newest = await Tasks(db).list_newest(TaskFilter(limit=NEWEST))
    except DatabaseUnavailable as exc:
        return Group(Text(str(exc), style="bold red"), Text(), Text("trying again · q quits", style="dim"))
    return _screen(found, newest)


def _screen(found: FleetStatus, newest: TaskList) -> RenderableType:
    tasks = tasks_list.render(newest.rows) if newest.rows else Text("no tasks yet", style="dim")
    return Group(status.render(found, diagnose(found)), Text(), Text("q quits", style="dim"), Text(), tasks)


@contextlib.contextmanager
def _keys(on_key: Callable[[str], None]) -> Iterator[None]:
    """Call `on_key` for each key pressed, without waiting for a line, as long as the block lasts."""
    descriptor = sys.stdin.fileno()
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    loop.add_reader(descriptor, lambda: on_key(sys.stdin.read(1)))
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
