"""Start a run of a pipeline and follow it to its end, with a worker in this process where no other offers to run it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias
from uuid import UUID

import typer

from agent_worker import app
from agent_worker.cli.answering import Desk, how_to_answer
from agent_worker.cli.exits import INTERRUPTED, tell
from agent_worker.cli.keyboard import Keyboard
from agent_worker.cli.lasting import lasting_database
from agent_worker.cli.run_story import JsonLines, Story, Teller, story_screen
from agent_worker.client import AsyncClient, QuestionClosed, TaskFailed, TaskResult
from agent_worker.db.connection import Database
from agent_worker.db.report import Report
from agent_worker.domain.events import ATTEMPT_START, CLIENT_TOOL_REQUEST, HUMAN_REQUEST
from agent_worker.domain.records import Question
from agent_worker.pipelines.names import PIPELINE
from agent_worker.settings import Settings

Start: TypeAlias = Callable[[Database, AsyncClient], Awaitable[UUID]]

TICK_S = 0.1
LOOK_S = 0.1
"""Seconds between looks for a question that has been announced; its row is written a moment later."""


def run_and_follow(settings: Settings, start: Start, *, as_json: bool, option: str = "") -> None:
    """Start a run, tell it, ask at the terminal what it asks, and end as it ends.

    Args:
        settings: In force; a worker in this process offers `settings.kinds`.
        start: Starts the run and returns its task.
        as_json: Print events instead of the story, and ask nothing.
        option: What another command needs to find the same database, such as ` --database-url …`.

    Raises:
        TaskFailed: The run failed, or was cancelled by somebody else.
        typer.Exit: It was cancelled from here.
    """
    with lasting_database(settings) as url:
        asyncio.run(_run(settings, url, start, option, as_json=as_json))


def other_option(database_url: str | None) -> str:
    """Return what another command has to be given where the database was typed; the address may hold a password."""
    return "" if database_url is None else " --database-url …"


async def _run(
    settings: Settings,
    url: str,
    start: Start,
    option: str,
    *,
    as_json: bool,
) -> None:
    await app.ready_database(url, is_ours=settings.database_url is None)
    async with AsyncClient(url) as client, Database(url) as db, _worker(settings, url, db):
        task_id = await start(db, client)
        screen = story_screen()
        teller: Teller = JsonLines(task_id) if as_json else Story(screen, task_id, is_live=True)
        is_asking = not as_json and sys.stdin.isatty() and screen.is_terminal
        desk = Desk(screen, Keyboard()) if is_asking else None
        followed = _Followed(client, task_id, teller, desk, option)
        result = await followed.to_the_end()
        if followed.is_interrupted:
            raise typer.Exit(INTERRUPTED)
        if isinstance(result, TaskFailed):
            raise result


@contextlib.asynccontextmanager
async def _worker(settings: Settings, url: str, db: Database) -> AsyncIterator[None]:
    """Have a worker for the length of the block: one that lives already, or else one of our own."""
    if (await Report(db).status()).offering(PIPELINE):
        yield
        return
    async with app.running_worker(settings, url) as worker:
        try:
            yield
        finally:
            at_once = asyncio.Event()
            at_once.set()
            await worker.drain(stop_now=at_once)


class _Followed:
    """One run, from its first event to its last."""

    def __init__(
        self, client: AsyncClient, task_id: UUID, teller: Teller, desk: Desk | None, option: str
    ) -> None:
        self.is_interrupted = False
        self._client = client
        self._task_id = task_id
        self._teller = teller
        self._desk = desk
        self._option = option
        self._asking: asyncio.Task[None] | None = None
        self._answered: set[UUID] = set()
        self._main: asyncio.Task[object] | None = None

    async def to_the_end(self) -> TaskResult | TaskFailed:
        """Tell everything; the first Ctrl-C cancels the run, the second leaves it."""
        self._main = asyncio.current_task()
        ticking = asyncio.create_task(self._tick())
        with app.stop_signals(self._interrupt):
            try:
                ended = await self._hear_all()
            except asyncio.CancelledError:
                if not self.is_interrupted:
                    raise
                self._teller.pause()
                raise typer.Exit(INTERRUPTED) from None
            finally:
                ticking.cancel()
                await self._stop_asking()
        self._teller.end(ended.result if isinstance(ended, TaskFailed) else ended)
        return ended

    async def _hear_all(self) -> TaskResult | TaskFailed:
        try:
            async for event in self._client.stream(self._task_id):
                if event.type == ATTEMPT_START:
                    await self._stop_asking()
                self._teller.hear(event)
                if event.type in {HUMAN_REQUEST, CLIENT_TOOL_REQUEST} and self._asking is None:
                    self._asking = asyncio.create_task(self._ask())
        except TaskFailed as failure:
            return failure
        return await self._client.look(self._task_id)

    async def _tick(self) -> None:
        while True:
            if self._asking is None or self._desk is None:
                self._teller.tick()
            await asyncio.sleep(TICK_S)

    def _interrupt(self) -> None:
        if self.is_interrupted and self._main is not None:
            self._main.cancel()
            return
        self.is_interrupted = True
        self._cancelling = asyncio.ensure_future(self._client.cancel(self._task_id))

    async def _ask(self) -> None:
        """Have all open questions answered, here or elsewhere."""
        while True:
            open_ones = [
                question
                for question in await self._client.questions(self._task_id)
                if question.status == "pending" and question.id not in self._answered
            ]
            for question in open_ones:
                self._answered.add(question.id)
                await self._answer(question)
            await asyncio.sleep(LOOK_S)

    async def _answer(self, question: Question) -> None:
        self._teller.pause()
        if self._desk is None:
            tell("note", how_to_answer(question, option=self._option))
            return
        try:
            response = await self._desk.ask(question)
            await self._client.answer(question.id, response)
        except EOFError:
            tell("note", how_to_answer(question, option=self._option))
        except QuestionClosed as closed:
            tell("note", str(closed))

    async def _stop_asking(self) -> None:
        if self._asking is None:
            return
        asking, self._asking = self._asking, None
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        self._teller.resume()
