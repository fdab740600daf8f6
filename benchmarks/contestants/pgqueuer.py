"""PGQueuer on asyncpg, the driver that its page "Benchmarks" found quickest."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
from datetime import timedelta
from typing import LiteralString

from benchmarks import tally
from benchmarks.contestants.contestant import Command, Connection, Load, count_by, fill_by
from benchmarks.tally import Tally

# "Performance Tuning": a larger batch_size for short jobs, one plain connection per QueueManager. "Benchmarks": several
# managers in one process. More of either made no difference on the machine this was tried on.
MANAGERS = 2
BATCH = 500

FILL: LiteralString = """
    WITH inserted AS (
      INSERT INTO pgqueuer (priority, entrypoint, payload, status)
      SELECT 0, %(handler)s, convert_to(jsonb_build_object('seq', n)::text, 'utf8'), 'queued'
      FROM generate_series(1, %(count)s) AS n
      RETURNING id, entrypoint, priority
    )
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority)
    SELECT id, 'queued', entrypoint, priority FROM inserted
"""
HISTORY: LiteralString = """
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority, created, aggregated)
    SELECT -n, 'successful', 'noop', 0, now() - interval '1 day' - n * interval '1 ms', true
    FROM generate_series(1, %(count)s) AS n
"""


class PgQueuer:
    """Deletes a finished job and leaves lines in a log; no result."""

    name = "pgqueuer"
    keeps = "log"
    is_queue = True
    lease_s: float | None = 30.0

    @property
    def version(self) -> str:
        """As installed."""
        return importlib.metadata.version("pgqueuer")

    def settings(self) -> str:
        """What was chosen."""
        return f"asyncpg, uvloop, {MANAGERS} managers in one process, batch_size {BATCH}, `pgq autovac`"

    def install(self, url: str) -> None:
        """As `pgq install` and `pgq autovac` do."""
        asyncio.run(_install(url))

    def fill(self, url: str, handler: str, count: int) -> None:
        """Insert what `Queries.enqueue` inserts."""
        fill_by(FILL, url, handler, count)

    def insert(self, handler: str, seq: str) -> str:
        """The statement of `Queries.enqueue` for one job: a row in the queue, and a line in the log."""
        payload = f"convert_to(jsonb_build_object('seq', {seq})::text, 'utf8')"
        return (
            "WITH inserted AS (INSERT INTO pgqueuer (priority, entrypoint, payload, status) "  # noqa: S608 - our own words
            f"VALUES (0, '{handler}', {payload}, 'queued') RETURNING id, entrypoint, priority) "
            "INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) "
            "SELECT id, 'queued', entrypoint, priority FROM inserted"
        )

    def unfinished(self, conn: Connection) -> int:
        """Count what is left in the queue."""
        return count_by("SELECT count(*) FROM pgqueuer", conn)

    def add_history(self, conn: Connection, count: int) -> bool:
        """Lines of the log."""
        conn.execute(HISTORY, {"count": count})
        return True

    def command(self, url: str, load: Load) -> Command:  # noqa: ARG002 - the environment says it
        """Our process around the library; the handler decides about concurrency, see `work`."""
        return Command.of_library(self.name, url)


async def _install(url: str) -> None:
    import asyncpg  # noqa: PLC0415 - the harness starts without it
    from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415
    from pgqueuer.queries import Queries  # noqa: PLC0415

    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    await connection.close()


def work() -> None:
    """Run until killed."""
    import uvloop  # noqa: PLC0415 - `pgq run` takes it where it is installed

    uvloop.run(_work())


async def _work() -> None:
    import asyncpg  # noqa: PLC0415
    from pgqueuer import PgQueuer as Library  # noqa: PLC0415
    from pgqueuer.models import Job  # noqa: PLC0415

    counts = Tally()
    limit = int(os.environ.get(tally.CONCURRENCY, "0"))
    lease_s = float(os.environ.get(tally.LEASE_S, "30"))

    async def handle(job: Job) -> None:
        await counts.handle(lambda: json.loads(job.payload or b"{}")["seq"])

    async with asyncio.TaskGroup() as group:
        for _ in range(1 if limit else MANAGERS):  # a limit holds for one manager
            library = Library.from_asyncpg_connection(await asyncpg.connect(os.environ["DATABASE_URL"]))
            library.entrypoint(counts.kind)(handle)
            running = library.run(
                batch_size=min(BATCH, limit // 2) if limit else BATCH,
                max_concurrent_tasks=limit or None,
                heartbeat_timeout=timedelta(seconds=lease_s),
            )
            group.create_task(running)
