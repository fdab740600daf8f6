"""Awa through its Python package: a core in Rust, handlers in Python."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from dataclasses import dataclass
from typing import LiteralString

from benchmarks import tally
from benchmarks.contestants.contestant import Command, Connection, Load, count_by
from benchmarks.tally import Tally

# "Configuration": max_workers is the concurrency of a queue. `AsyncClient.start`: claim_batch_size and claimers are for
# hot queues. More workers and claimers made no difference or a bad one on the machine this was tried on.
WORKERS = 500
CLAIM = 500
CONNECTIONS = 20
CHUNK = 10_000
"""Jobs per COPY."""

UNFINISHED: LiteralString = """
    SELECT (SELECT count(*) FROM awa.ready_entries)
         - (SELECT coalesce(sum(completed_count), 0) FROM awa.receipt_completion_batches)
         - (SELECT count(*) FROM awa.done_entries)
"""


@dataclass
class Payload:
    """The arguments of every job here."""

    seq: int


class Awa:
    """Keeps finished jobs, without a result, in rings that it rotates."""

    name = "awa"
    keeps = "row"
    is_queue = True
    lease_s: float | None = 90.0  # "Configuration": stale after about 90 s, looked for every 30 s

    @property
    def version(self) -> str:
        """As installed."""
        return importlib.metadata.version("awa-pg")

    def settings(self) -> str:
        """What was chosen."""
        return f"max_workers {WORKERS}, claim_batch_size {CLAIM}, {CONNECTIONS} connections"

    def install(self, url: str) -> None:
        """Its newest storage engine, which a fresh installation ends with."""
        asyncio.run(_install(url))

    def fill(self, url: str, handler: str, count: int) -> None:
        """COPY, which its page calls the way for many jobs."""
        asyncio.run(_fill(url, handler, count))

    def insert(self, handler: str, seq: str) -> str:
        """The function behind `awa.bridge.insert_job`."""
        return (
            f"SELECT id FROM awa.insert_job_compat('{handler}', '{handler}', jsonb_build_object('seq', {seq}), "  # noqa: S608 - our own words
            "'available'::awa.job_state, 2::smallint, 25::smallint, now(), '{}'::jsonb, '{}'::text[], "
            "NULL, NULL::bit(8), NULL::bytea)"
        )

    def unfinished(self, conn: Connection) -> int:
        """Count entries without a completion; its view of all jobs takes minutes under load."""
        return count_by(UNFINISHED, conn)

    def add_history(self, conn: Connection, count: int) -> bool:  # noqa: ARG002
        """Old jobs leave by rotation."""
        return False

    def command(self, url: str, load: Load) -> Command:  # noqa: ARG002 - the environment says it
        """Our process around the library."""
        return Command.of_library(self.name, url)


async def _install(url: str) -> None:
    from awa import AsyncClient  # noqa: PLC0415 - not installed everywhere

    client = AsyncClient(url)
    await client.migrate()
    # Otherwise a fresh database keeps the older storage until a worker has started.
    await client.install_queue_storage()
    await client.close()


async def _fill(url: str, handler: str, count: int) -> None:
    from awa import AsyncClient  # noqa: PLC0415

    client = AsyncClient(url)
    for start in range(1, count + 1, CHUNK):
        jobs = [Payload(seq) for seq in range(start, min(start + CHUNK, count + 1))]
        await client.enqueue_many_copy(jobs, kind=handler, queue=handler)
    await client.close()


def work() -> None:
    """Run until killed."""
    asyncio.run(_work())


async def _work() -> None:
    from awa import AsyncClient, Job  # noqa: PLC0415

    counts = Tally()
    client = AsyncClient(os.environ["DATABASE_URL"], max_connections=CONNECTIONS)

    @client.task(Payload, kind=counts.kind, queue=counts.kind)
    async def handle(job: Job[Payload]) -> None:
        await counts.handle(lambda: job.args.seq)

    workers = int(os.environ.get(tally.CONCURRENCY, WORKERS))
    queue = {"name": counts.kind, "max_workers": workers, "claim_batch_size": CLAIM}
    if tally.LEASE_S in os.environ:
        lease_ms = int(float(os.environ[tally.LEASE_S]) * 1000)
        await client.start(
            [queue],
            heartbeat_interval_ms=lease_ms // 3,
            heartbeat_rescue_interval_ms=1000,
            heartbeat_staleness_ms=lease_ms,
        )
    else:
        await client.start([queue])
    await asyncio.Event().wait()
