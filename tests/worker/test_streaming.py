"""When what a task says is there to be seen: the first of it at once, and by broadcast before its row."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from agent_worker.db.connection import Database
from agent_worker.domain.errors import ConfigurationError
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker
from tests.worker.processors import Hang, Say


class Tell:
    """Say `pieces`; None is a pause until somebody says to go on."""

    kind = "tell"

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def process(self, task: Any, ctx: Any) -> dict[str, Any]:
        for piece in task.request_payload["pieces"]:
            match piece:
                case None:
                    await self.go_on.wait()
                case _:
                    await ctx.emit_text(piece)
        return {"answer": "done"}


async def broadcasts(db: Database, task_id: UUID) -> list[dict[str, Any]]:
    rows = await db.fetch_all(
        "SELECT payload FROM realtime.messages WHERE topic = 'task:' || %(id)s AND event = 'delta' AND private "
        "ORDER BY (payload ->> 'seq')::int, (payload ->> 'part')::int",
        {"id": str(task_id)},
    )
    return [row[0] for row in rows]


def text_of(payloads: list[dict[str, Any]]) -> str:
    return "".join(event["data"]["delta"] for payload in payloads for event in payload["events"])


async def test_the_first_text_does_not_wait_for_the_second(start_worker: StartWorker, rows: Rows) -> None:
    tell = Tell()
    async with start_worker(tell):
        task_id = await rows.insert("tell", {"pieces": ["Hello", None, " you"]})

        async def is_written() -> bool:
            return "text-delta" in await rows.types(task_id)

        await eventually(is_written)
        tell.go_on.set()
        await rows.reaches(task_id, "completed")
    deltas = [data["delta"] for kind, data in await rows.events(task_id) if kind == "text-delta"]
    assert deltas == ["Hello", " you"]


@pytest.mark.parametrize("way", ["postgres", "http"], indirect=True)
async def test_text_is_broadcast_while_its_row_waits(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    tell = Tell()
    async with start_worker(tell, stream="broadcast"):
        task_id = await rows.insert("tell", {"pieces": ["Hello", None, " you", "!"]})

        async def is_heard() -> bool:
            return text_of(await broadcasts(db, task_id)) == "Hello"

        await eventually(is_heard)
        (first,) = await broadcasts(db, task_id)
        assert (first["task_id"], first["attempt"], first["seq"], first["part"]) == (str(task_id), 1, 3, 0)

        async def is_written() -> bool:
            return "text-delta" in await rows.types(task_id)

        await eventually(is_written)
        assert (await rows.events(task_id))[first["seq"] - 1][1]["delta"] == "Hello"
        tell.go_on.set()
        await rows.reaches(task_id, "completed")
    events = await rows.events(task_id)
    assert [kind for kind, _ in events] == [
        "attempt-start",
        "text-start",
        "text-delta",
        "text-delta",
        "text-end",
        "finish",
    ]
    assert "".join(data["delta"] for kind, data in events if kind == "text-delta") == "Hello you!"


async def test_a_long_answer_costs_fewer_rows_by_broadcast(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    text = " ".join(f"word{n}" for n in range(4000))
    async with start_worker(Say(), stream="broadcast"):
        task_id = await rows.insert("say", {"text": text})
        await rows.reaches(task_id, "completed")
    deltas = [data["delta"] for kind, data in await rows.events(task_id) if kind == "text-delta"]
    assert "".join(deltas) == text
    assert len(deltas) <= len(text) / 16_384 + 2


async def test_a_worker_that_stops_leaves_no_text_unwritten(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    tell = Tell()
    async with start_worker(tell, stream="broadcast", shutdown_grace_s=0.2):
        task_id = await rows.insert("tell", {"pieces": ["Hello", None]})

        async def is_heard() -> bool:
            return bool(await broadcasts(db, task_id))

        await eventually(is_heard)
    assert await rows.status(task_id) == "pending"
    assert [data["delta"] for kind, data in await rows.events(task_id) if kind == "text-delta"] == ["Hello"]


async def test_a_worker_that_cannot_broadcast_says_so_at_its_start(
    start_worker: StartWorker, db: Database
) -> None:
    async with db.connection() as conn:
        await conn.execute("DROP SCHEMA realtime CASCADE")
    with pytest.raises(ConfigurationError, match=r"AGENT_WORKER_STREAM is broadcast.*set it to changes"):
        async with start_worker(Say(), stream="broadcast"):
            pass


@pytest.mark.parametrize("way", ["postgres", "http"], indirect=True)
async def test_a_worker_that_is_asked_to_drain_says_so(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    async with start_worker(Hang()) as worker:
        assert not worker.drain_asked.is_set()
        await db.fetch_value(
            "SELECT public.agent_worker_drain(%(id)s) ->> 'name'", {"id": worker.identity.id}
        )
        async with asyncio.timeout(30):
            await worker.drain_asked.wait()
