"""Measure what finished tasks cost: bytes on disk by table and index, and bytes of WAL by step.

Chat tasks of a usual size go through the queue's own calls, as clients and workers make them: inserted, claimed,
streamed, completed. The server is the embedded one with its defaults, in a folder that is removed afterwards.

Run it with `python scripts/measure_storage.py --tasks 200000 --events 10`; `docs/scale.md` shows what came out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4

import psycopg

from agent_worker.db.connection import Database
from agent_worker.db.migrate import migrate
from agent_worker.db.queue import Batch, Final, Queue, Said
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, dump_json
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.task import Lease, TaskStatus
from agent_worker.embedded import EmbeddedPostgres
from agent_worker.embedded.places import remove_data

BATCH = 500
USERS = 1_000
PROMPT_WORDS = 40
ANSWER_WORDS = 150

WORDS = [
    f"{first}{second}"
    for first in ("ba", "tor", "mi", "quel", "s")
    for second in ("ne", "ra", "lium", "d", "")
]

INSERT: LiteralString = """
    INSERT INTO public.agent_task_requests (kind, request_payload, user_id)
    SELECT 'chat', t.payload, t.user_id
    FROM unnest(%(payloads)s::jsonb[], %(users)s::uuid[]) AS t (payload, user_id)
"""
LSN: LiteralString = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
FULL_PAGES: LiteralString = "SELECT wal_fpi FROM pg_stat_wal"
SIZES: LiteralString = """
    SELECT t.relname, NULL, pg_total_relation_size(t.oid)
    FROM pg_class t
    WHERE t.oid IN ('public.agent_task_requests'::regclass, 'public.agent_task_events'::regclass)
    UNION ALL
    SELECT t.relname, coalesce(i.relname, 'rows'), pg_table_size(coalesce(i.oid, t.oid))
    FROM pg_class t
    LEFT JOIN LATERAL (
      SELECT c.oid, c.relname FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE x.indrelid = t.oid
      UNION ALL
      SELECT NULL, NULL
    ) i ON true
    WHERE t.oid IN ('public.agent_task_requests'::regclass, 'public.agent_task_events'::regclass)
    ORDER BY 1 DESC, 3 DESC
"""


def main() -> None:
    """Measure once and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=200_000, help="finished tasks to make [default: 200000]")
    parser.add_argument("--events", type=int, default=10, help="events in the stream of each [default: 10]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="agent-worker-storage-") as folder:
        Path(folder).chmod(0o711)  # root's server runs as another account, which has to walk through
        data_dir = Path(folder) / ".agent-worker"
        with EmbeddedPostgres.start_or_join(data_dir) as server:
            asyncio.run(measure(server.url, tasks=options.tasks, events=options.events))
        remove_data(data_dir)


async def measure(url: str, *, tasks: int, events: int) -> None:
    """Fill a fresh database and print what that took."""
    await migrate(url)
    async with Database(url) as db:
        await run(db, "CHECKPOINT")
        first_fpi = int(await db.fetch_value(FULL_PAGES))
        wal = await fill(db, tasks=tasks, events=events)
        full_pages = int(await db.fetch_value(FULL_PAGES)) - first_fpi
        await run(db, "VACUUM ANALYZE public.agent_task_requests, public.agent_task_events")
        sizes = await db.fetch_all(SIZES)
    print(f"{tasks} tasks, {events} events each\n")
    print("| step | bytes of WAL per task |\n|---|---|")
    for step, size in [*wal.items(), ("together", sum(wal.values()))]:
        print(f"| {step} | {size / tasks:.0f} |")
    print(f"\nfull page images: {full_pages}, at most {full_pages * 8192 / tasks:.0f} bytes per task\n")
    print("| table | part | bytes per task = MB per million |\n|---|---|---|")
    for table, part, size in sizes:
        print(f"| {table} | {part or '**all**'} | {size / tasks:.0f} |")


async def fill(db: Database, *, tasks: int, events: int) -> Counter[str]:
    """Take tasks through their life in batches; returns the bytes of WAL by step."""
    chance = random.Random(1)  # noqa: S311 - the same text each time
    users = [uuid4() for _ in range(USERS)]
    queue = Queue(db, uuid4())
    wal: Counter[str] = Counter()
    for _ in range(0, tasks, BATCH):
        before = await lsn(db)
        await insert(db, chance, users)
        wal["insert"] += (inserted := await lsn(db)) - before
        claimed = await queue.claim([whole_level("chat", 0)], BATCH)
        wal["claim"] += (taken := await lsn(db)) - inserted
        leases = [Lease(task.id, task.attempt, queue.worker_id) for task in claimed]
        said = [
            Said(lease, seq, event(chance, seq, events)) for lease in leases for seq in range(1, events + 1)
        ]
        if said:
            await queue.write(Batch(events=said))
        wal["events"] += (streamed := await lsn(db)) - taken
        await queue.write(
            Batch(finals=[Final(lease, TaskStatus.COMPLETED, answer(chance)) for lease in leases])
        )
        wal["outcome"] += await lsn(db) - streamed
    return wal


async def insert(db: Database, chance: random.Random, users: list[UUID]) -> None:
    """Insert one batch of prompts."""
    payloads = [json.dumps({"prompt": text(chance, PROMPT_WORDS)}) for _ in range(BATCH)]
    async with db.connection() as conn:
        await conn.execute(INSERT, {"payloads": payloads, "users": chance.choices(users, k=BATCH)})


def event(chance: random.Random, seq: int, last: int) -> Event:
    """Return a piece of the answer's text, or the end of the stream."""
    if seq == last:
        return Event("finish", {"finishReason": "stop"})
    return Event("text-delta", {"id": "0", "delta": text(chance, ANSWER_WORDS // last)})


def answer(chance: random.Random) -> str:
    """Return a response as the processor of chat tasks makes it, as JSON text."""
    usage: JsonObject = {"input_tokens": 60, "output_tokens": 220, "total_tokens": 280}
    said = text(chance, ANSWER_WORDS)
    return dump_json({"answer": said, "model": "openai/gpt-4o-mini", "usage": usage, "finish_reason": "stop"})


def text(chance: random.Random, words: int) -> str:
    """Return words of about five letters."""
    return " ".join(chance.choices(WORDS, k=words))


async def lsn(db: Database) -> int:
    """Return how many bytes of WAL the server has written since it was made."""
    return int(await db.fetch_value(LSN))


async def run(db: Database, statement: LiteralString) -> None:
    """Run a statement that returns nothing and may take long."""
    async with await psycopg.AsyncConnection.connect(db.conninfo, autocommit=True) as conn:
        await conn.execute(statement)


if __name__ == "__main__":
    main()
