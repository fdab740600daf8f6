"""`agent-worker demo`: the first minute, told as a short story."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import IO
from uuid import UUID

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from agent_worker import app
from agent_worker.cli.processes import make_supervisor
from agent_worker.cli.screen import console, program_here, show, table
from agent_worker.cli.session import read_settings
from agent_worker.cli.timeline import precise
from agent_worker.client import AsyncClient, TaskFailed
from agent_worker.db.connection import Database
from agent_worker.db.migrate import migrate
from agent_worker.domain.errors import AgentWorkerError, DatabaseUnavailable
from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import TaskResult
from agent_worker.embedded.places import remove_data
from agent_worker.llm import local
from agent_worker.llm.echo import ECHO_ID
from agent_worker.llm.local_files import LocalFiles
from agent_worker.settings import PREFIX, Settings

PROMPT = "What does a database do?"
SYSTEM = "Answer in one short sentence."
QUESTIONS = (
    "Name three colours.",
    "What is the capital of France?",
    "Say hello in Spanish.",
    "What do bees make?",
    "Which is larger, the sun or the moon?",
    "What is water made of?",
    "Name an animal that can fly.",
    "What comes after Monday?",
)
INSERT = """\
INSERT INTO agent_task_requests (kind, request_payload)
SELECT 'echo', jsonb_build_object('prompt', 'Row ' || n)
FROM generate_series(1, 15) AS n
UNION ALL SELECT 'echo', '{"note": "no prompt, on purpose"}'
RETURNING id"""

_INDENT = (0, 0, 0, 2)

READY_S = 30.0
BATCH_S = 60.0


def demo() -> None:
    """Watch a small fleet work, from the first row to the last answer.

    Starts a PostgreSQL and two worker processes in a temporary folder, and removes all of it at the end. Uses the
    small local model if it is installed, no key, no network, and none of your settings.
    """
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing may be left behind
    with _own_folder() as folder:
        settings = read_settings(processes=2, name="demo", kinds="chat,echo")
        log = folder / "workers.log"
        try:
            asyncio.run(_Story(console(), settings).tell(log))
        except AgentWorkerError:
            _show_log(log)
            raise
        finally:
            _end_local_model(settings)
    _say_goodbye(console(), time.monotonic() - began)


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """Lend a folder and an environment in which nothing of the user's is found, and remove the folder afterwards."""
    for name in list(os.environ):
        if name.startswith((PREFIX, "OPENAI_", "DATABASE_URL")):
            del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="agent-worker-demo-") as name:
        folder = Path(name)
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)  # root's server runs as another account
        with contextlib.chdir(folder):
            yield folder
        with contextlib.suppress(AgentWorkerError):
            remove_data(folder / ".agent-worker")


class _Story:
    """What happens, in order, and what is said about it."""

    def __init__(self, screen: Console, settings: Settings) -> None:
        self._screen = screen
        self._settings = settings

    async def tell(self, log: Path) -> None:
        """Start the fleet, stream an answer, run a batch, and stop the fleet."""
        self._head("A small fleet in a folder of its own")
        began = time.monotonic()
        with app.embedded(self._settings.data_dir) as server, log.open("wb") as output:
            self._step(f"PostgreSQL {server.version} is up", began)
            began = time.monotonic()
            report = await migrate(server.url)
            self._step(f"{len(report.applied)} migrations made the tables", began)
            async with self._fleet(server.url, output), AsyncClient(server.url) as client:
                await self._stream(client)
                await self._batch(client, server.url)
                began = time.monotonic()
            self._screen.print()
            self._step("the workers have drained and ended", began)
            began = time.monotonic()
        self._step("PostgreSQL has stopped", began)

    @contextlib.asynccontextmanager
    async def _fleet(self, url: str, output: IO[bytes]) -> AsyncIterator[None]:
        """Run the worker processes for as long as the block lasts."""
        began = time.monotonic()
        ready = asyncio.Event()
        supervisor = make_supervisor(self._settings, url, on_ready=lambda _names: ready.set(), output=output)
        running = asyncio.create_task(supervisor.run())
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({running, waiting}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
            if not ready.is_set():
                raise DatabaseUnavailable("the workers did not start · their log is above")
            self._step(f"{self._settings.processes} worker processes are live", began)
            yield
        finally:
            waiting.cancel()
            supervisor.stop()
            await running

    async def _stream(self, client: AsyncClient) -> None:
        self._head("One question, its answer as it comes")
        self._screen.print(Text(f"  {PROMPT}", style="bold"))
        began = time.monotonic()
        payload: JsonObject = {"prompt": PROMPT, "system": SYSTEM, "max_tokens": 90, "temperature": 0}
        task_id = await client.submit(payload)
        column = _Column(self._screen)
        async for piece in client.stream_text(task_id, timeout_s=BATCH_S):
            column.write(piece.text)
        column.end()
        answer = await client.look(task_id)
        took = precise(time.monotonic() - began)
        self._note(f"{answer.response.get('model')} · {took} from insert to last token")
        if answer.response.get("model") == ECHO_ID:
            self._note(
                "No local model is installed, so the answer only repeats the question. For a real one:"
            )
            self._note(local.INSTALL_COMMAND)

    async def _batch(self, client: AsyncClient, url: str) -> None:
        ids = await _insert_with_sql(url)
        ids += await client.submit_many([{"prompt": each, "max_tokens": 12} for each in QUESTIONS])
        self._head(f"{len(ids)} rows at once, some with SQL and some with Python")
        for line in INSERT.splitlines():
            self._note(line)
        self._note(f'client.submit_many([{{"prompt": "{QUESTIONS[0]}", …}}, …])')
        self._screen.print()
        results = await self._follow(client, ids)
        self._screen.print()
        show(Padding(_summary(results), _INDENT))
        for result in results:
            if "code" in result.response:
                self._note(_failure(result))

    async def _follow(self, client: AsyncClient, ids: Sequence[UUID]) -> list[TaskResult]:
        columns = (BarColumn(bar_width=40), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(" ", *columns, console=self._screen) as progress:
            bar = progress.add_task("batch", total=len(ids))

            async def ended(task_id: UUID) -> TaskResult:
                with contextlib.suppress(TaskFailed):
                    await client.wait(task_id, timeout_s=BATCH_S)
                progress.advance(bar)
                return await client.look(task_id)

            return list(await asyncio.gather(*map(ended, ids)))

    def _head(self, text: str) -> None:
        self._screen.print()
        self._screen.print(Text(text, style="bold"))

    def _step(self, text: str, began: float) -> None:
        line = Text(f"  {text:<44}")
        line.append(f"{precise(time.monotonic() - began):>8}", style="dim")
        self._screen.print(line)

    def _note(self, text: str) -> None:
        self._screen.print(Text(f"  {text}", style="dim"))


class _Column:
    """Prints streamed text as it comes, indented, broken at words."""

    def __init__(self, screen: Console) -> None:
        self._width = min(screen.width, 80)
        self._at = 0

    def write(self, text: str) -> None:
        """Print a piece; a word that is cut between two pieces may stick out."""
        for piece in _words(text):
            if self._at == 0 or self._at + len(piece) > self._width:
                print("\n  " if self._at else "  ", end="")
                piece = piece.lstrip()  # noqa: PLW2901 - a line begins with a word
                self._at = 2
            print(piece, end="", flush=True)
            self._at += len(piece)

    def end(self) -> None:
        """End the last line."""
        if self._at:
            print()


def _words(text: str) -> list[str]:
    """Cut text before each blank; line breaks become blanks."""
    return [
        f" {word}" if n else word for n, word in enumerate(text.replace("\n", " ").split(" ")) if word or n
    ]


async def _insert_with_sql(url: str) -> list[UUID]:
    async with Database(url) as db, db.connection() as conn:
        cursor = await conn.execute(INSERT)
        return [row[0] for row in await cursor.fetchall()]


def _summary(results: Sequence[TaskResult]) -> Table:
    numbers = ("count", "waited p50", "ran p50")
    rows = table("kind", *numbers, "outcome", right=numbers)
    for kind in sorted({result.kind for result in results}):
        mine = [result for result in results if result.kind == kind]
        waited = [(each.started_at - each.created_at).total_seconds() for each in mine if each.started_at]
        ran = [
            (each.finished_at - each.started_at).total_seconds()
            for each in mine
            if each.started_at and each.finished_at
        ]
        p50 = (precise(statistics.median(values)) if values else "-" for values in (waited, ran))
        counts = Counter(each.status.value for each in mine)
        rows.add_row(
            kind, str(len(mine)), *p50, ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))
        )
    return rows


def _failure(result: TaskResult) -> str:
    is_on_purpose = result.kind == "echo" and result.response["code"] == "invalid_payload"
    how = "failed, as it should" if is_on_purpose else "failed"
    return f"{str(result.id)[:8]} {how}: {result.response['code']}, {result.response['error']}"


def _show_log(log: Path) -> None:
    if log.exists():
        print("\n".join(log.read_text(errors="replace").splitlines()[-20:]), file=sys.stderr)


def _end_local_model(settings: Settings) -> None:
    """End the model's server now; it would wait some seconds for others, and here are none."""
    files = LocalFiles(settings.data_dir / "local-model")
    if files.directory.exists() and (server := files.running()) is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGTERM)


def _say_goodbye(screen: Console, took_s: float) -> None:
    screen.print()
    screen.print(Text(f"That took {precise(took_s)}, and nothing is left of it. Try next:", style="bold"))
    rows = table("command", "what", header=False)
    program = program_here()
    rows.add_row(f"{program} dev", Text("a database, an API, a dashboard and a worker", style="dim"))
    rows.add_row(f'{program} submit "…" --stream', Text("ask them something", style="dim"))
    rows.add_row(f"{program} watch", Text("follow the fleet live", style="dim"))
    show(Padding(rows, _INDENT))
