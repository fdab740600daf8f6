"""Steps that the tests of whole fleets share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database
from tests.waiting import eventually

PATIENCE_S = 90.0
"""For what processes do that have yet to start, on a machine that is busy with others."""


async def insert_many(db: Database, count: int, **payload: Any) -> None:
    await db.fetch_all(
        "INSERT INTO agent_task_requests (kind, request_payload) "
        "SELECT 'traced', jsonb_build_object('n', n) || %(payload)s FROM generate_series(1, %(count)s) n RETURNING 1",
        {"count": count, "payload": Jsonb(payload)},
    )


async def all_completed(db: Database, count: int, *, timeout_s: float = PATIENCE_S) -> None:
    async def done() -> bool:
        finished = await db.fetch_value(
            "SELECT count(*) FROM agent_task_requests WHERE status IN ('completed', 'failed', 'cancelled')"
        )
        return bool(finished == count)

    await eventually(done, timeout_s=timeout_s)
    assert (
        await db.fetch_value("SELECT count(*) FROM agent_task_requests WHERE status = 'completed'") == count
    )
    wrong = await db.fetch_value(
        "SELECT count(*) FROM agent_task_requests "
        "WHERE response_payload -> 'answer' IS DISTINCT FROM request_payload -> 'n' OR attempt > max_attempts"
    )
    assert wrong == 0


async def alive(db: Database, count: int) -> None:
    async def registered() -> bool:
        return bool(
            await db.fetch_value(
                "SELECT count(*) = %(n)s FROM agent_worker.workers WHERE stopped_at IS NULL", {"n": count}
            )
        )

    await eventually(registered, timeout_s=PATIENCE_S)


def runs(ledger: Path) -> Counter[str]:
    """How often each task's processor ran to its end."""
    return Counter(line.split()[0] for line in ledger.read_text().splitlines())


async def have_begun(ledger: Path, count: int) -> None:
    """Wait until so many attempts run: a worker knows of its tasks only when the answer to its claim has come."""
    begun = ledger.with_name(ledger.name + ".begun")

    async def are_there() -> bool:
        return begun.exists() and len(begun.read_text().splitlines()) >= count

    await eventually(are_there, timeout_s=PATIENCE_S)


async def have_status(db: Database, status: str, count: int) -> None:
    """Wait until at least so many tasks have a status."""

    async def are_there() -> bool:
        query = "SELECT count(*) >= %(n)s FROM agent_task_requests WHERE status = %(status)s"
        return bool(await db.fetch_value(query, {"n": count, "status": status}))

    await eventually(are_there, timeout_s=PATIENCE_S)
