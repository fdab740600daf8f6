"""Procrastinate."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from typing import LiteralString

from benchmarks import tally
from benchmarks.contestants.contestant import Command, Connection, Load, count_by, fill_by
from benchmarks.tally import Tally

# `App.run_worker_async`: how many asynchronous jobs run at once. The pool keeps its default size; larger pools made it
# slower on the machine this was tried on, and so did fewer jobs at once.
CONCURRENCY = 100

FILL: LiteralString = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args)
    SELECT 'default', %(handler)s, jsonb_build_object('seq', n) FROM generate_series(1, %(count)s) AS n
"""
HISTORY: LiteralString = """
    INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts)
    SELECT 'default', 'noop', jsonb_build_object('seq', n), 'succeeded', 1 FROM generate_series(1, %(count)s) AS n
"""


class Procrastinate:
    """Keeps the row of a finished job, without its result."""

    name = "procrastinate"
    keeps = "row"
    is_queue = True
    lease_s: float | None = None  # "Retry stalled jobs": by a task that one writes and schedules

    @property
    def version(self) -> str:
        """As installed."""
        return importlib.metadata.version("procrastinate")

    def settings(self) -> str:
        """What was chosen."""
        return f"concurrency {CONCURRENCY}"

    def install(self, url: str) -> None:
        """As `procrastinate schema --apply` does."""
        asyncio.run(_install(url))

    def fill(self, url: str, handler: str, count: int) -> None:
        """Insert into the table that `procrastinate_defer_jobs_v1` inserts into."""
        fill_by(FILL, url, handler, count)

    def insert(self, handler: str, seq: str) -> str:
        """The statement behind `Task.defer`."""
        payload = f"jsonb_build_object('seq', {seq})"
        row = f"ROW('default', '{handler}', 0, NULL, NULL, {payload}, NULL)::procrastinate_job_to_defer_v1"
        return f"SELECT procrastinate_defer_jobs_v1(ARRAY[{row}])"

    def unfinished(self, conn: Connection) -> int:
        """Count by status."""
        return count_by("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')", conn)

    def add_history(self, conn: Connection, count: int) -> bool:
        """Succeeded jobs, without their four events each: less than a real history."""
        conn.execute("SET session_replication_role = replica")
        conn.execute(HISTORY, {"count": count})
        conn.execute("RESET session_replication_role")
        return True

    def command(self, url: str, load: Load) -> Command:  # noqa: ARG002 - the environment says it
        """Our process around the library."""
        return Command.of_library(self.name, url)


async def _install(url: str) -> None:
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415 - not installed everywhere

    app = App(connector=PsycopgConnector(conninfo=url))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


def work() -> None:
    """Run until killed."""
    asyncio.run(_work())


async def _work() -> None:
    from procrastinate import App, PsycopgConnector  # noqa: PLC0415

    counts = Tally()
    app = App(connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))

    @app.task(name=counts.kind)
    async def handle(seq: int) -> None:
        await counts.handle(lambda: seq)

    async with app.open_async():
        await app.run_worker_async(concurrency=int(os.environ.get(tally.CONCURRENCY, CONCURRENCY)))
