"""Streams whose readers are slow, silent, gone or many, and gateways that stop under them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.looking import Looking
from agent_worker.db.tasks import Following
from agent_worker.domain.caller import Eyes
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.domain.events import Event
from agent_worker.gateway.agents.streams import MOST_PER_USER
from agent_worker.security.tokens import CLOCK_SKEW_S
from agent_worker.testing.postgres import insert_task
from agent_worker.worker.worker import Worker
from tests.client.by_hand import ByHand, cut_connections, listeners
from tests.gateway.agents.reading import listening
from tests.gateway.agents.serving import AgentsGateway, agents_gateway, started
from tests.gateway.door import TOKEN_S, token
from tests.waiting import eventually
from tests.worker.conftest import Rows

WAITING = {"FOR": "10m"}


async def test_silence_is_filled_with_heartbeats(
    database_url: str, db: Database, worker: Worker, ann_id: UUID
) -> None:
    async with agents_gateway(database_url, db, heartbeat_s=0.05) as gateway, gateway.client(ann_id) as ann:
        await gateway.push("wait")
        async with started(ann, "wait", WAITING) as run:
            await run.until("block-start")
            await run.heartbeats(3)
            await ann.post(f"/wait/executions/{run.heard.execution_id}/cancel")
            heard = await run.rest()
    assert heard.is_done


# Hanging up


async def test_hanging_up_stops_the_run_though_nothing_is_said(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, rows: Rows
) -> None:
    async with started(ann, "wait", WAITING) as run:
        await run.until("block-start")
        run_id = UUID(run.heard.execution_id)
    await rows.reaches(run_id, "cancelled", timeout_s=10.0)  # before the first heartbeat would notice
    await nobody_reads(gateway)


async def test_a_run_with_a_key_outlives_its_connection(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, rows: Rows
) -> None:
    key = {"Idempotency-Key": "order-1"}
    async with started(ann, "wait", {"FOR": "500ms"}, headers=key) as run:
        await run.until("block-start")
        run_id = UUID(run.heard.execution_id)
    await nobody_reads(gateway)
    await rows.reaches(run_id, "completed")
    async with started(ann, "wait", {"FOR": "500ms"}, headers=key) as run:
        heard = await run.rest()
    assert (heard.execution_id, heard.is_done) == (str(run_id), True)
    assert "worker-result" in heard.types


async def test_who_only_reads_stops_nothing_by_hanging_up(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, rows: Rows
) -> None:
    async with started(ann, "wait", WAITING) as run:
        await run.until("block-start")
        run_id = run.heard.execution_id
        async with listening(ann, "GET", f"/wait/executions/{run_id}/events") as watching:
            await watching.until("block-start")

        async def is_gone() -> bool:
            return gateway.streams.open == 1

        await eventually(is_gone)
        assert await rows.status(UUID(run_id)) in {"processing", "pending"}
        assert (await rows.task(UUID(run_id)))["cancel_requested_at"] is None


async def test_hanging_up_after_the_finish_spoils_nothing(
    ann: httpx.AsyncClient, gateway: AgentsGateway, db: Database, rows: Rows, ann_id: UUID
) -> None:
    by_hand = ByHand(db)
    async with started(ann, "echo", {"TOPIC": "x"}) as run:
        task = await by_hand.claim("pipeline")
        await by_hand.begin(task)
        said = Event("start", {"executionId": str(task.id)}), Event("finish", {"finishReason": "stop"})
        await by_hand.say(task, *said)
        await run.until("finish")
    await nobody_reads(gateway)
    assert (await rows.task(task.id))["cancel_requested_at"] is None


async def test_a_question_that_was_heard_stays_open_when_its_stream_has_ended(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, rows: Rows
) -> None:
    async with started(ann, "approval", {"PLAN": "ship"}) as run:
        heard = await run.rest()
    await nobody_reads(gateway)
    assert await rows.status(UUID(heard.execution_id)) == "waiting"


# The token expires


async def test_a_stream_ends_with_its_users_token_and_its_run_goes_on(
    database_url: str, db: Database, worker: Worker, rows: Rows, ann_id: UUID
) -> None:
    late_s = TOKEN_S + CLOCK_SKEW_S - 0.5
    async with (
        agents_gateway(database_url, db, now=lambda: time.time() + late_s) as gateway,
        gateway.client(ann_id) as ann,
        gateway.client("service_role") as server,
    ):
        await gateway.push("wait")
        async with started(ann, "wait", WAITING) as run:
            assert not (await run.rest()).is_done, "it was cut, so that clients come again with another token"
        run_id = run.response.headers["content-location"].rpartition("/")[2]
        where = f"/wait/executions/{run_id}"
        assert (await rows.task(UUID(run_id)))["cancel_requested_at"] is None
        async with listening(server, "GET", f"{where}/events") as forever:
            await forever.until("block-start")
            await ann.post(f"{where}/cancel")
            assert (await forever.rest()).is_done, "a key has no end"


# The gateway stops


async def test_a_gateway_that_stops_ends_streams_at_once_and_stops_no_run(
    database_url: str, db: Database, rows: Rows, ann_id: UUID
) -> None:
    by_hand = ByHand(db)
    async with agents_gateway(database_url, db) as first, first.client(ann_id) as ann:
        await first.push("echo")
        async with started(ann, "echo", {"TOPIC": "x"}) as run:
            task = await by_hand.claim("pipeline")
            await by_hand.begin(task)
            begun = Event("start", {"executionId": str(task.id)}), Event("text-start", {"id": "t1"})
            await by_hand.say(task, *begun)
            await run.until("text-start")
            first.streams.stop()
            heard = await run.rest()  # before the server, which would cut it later, is told
    assert not heard.is_done, "it was cut, so that clients know to come again"
    assert (await rows.task(task.id))["cancel_requested_at"] is None
    await by_hand.speak(task, "still ", "here")
    await by_hand.complete(task, {"output": 1})
    async with agents_gateway(database_url, db) as second, second.client(ann_id) as ann:
        where = f"/echo/executions/{heard.execution_id}/events"
        async with listening(ann, "GET", where, headers={"Last-Event-ID": str(heard.last_id)}) as run:
            rest = await run.rest()
        async with listening(ann, "GET", where) as run:
            whole = await run.rest()
    assert rest.is_done
    assert rest.events[-1]["type"] in {"finish", "usage"}
    assert [*heard.events, *rest.events] == whole.events


async def test_connections_to_the_database_that_are_cut_go_unnoticed(
    ann: httpx.AsyncClient, gateway: AgentsGateway, db: Database
) -> None:
    by_hand = ByHand(db)
    async with started(ann, "echo", {"TOPIC": "x"}) as run:
        task = await by_hand.claim("pipeline")
        await by_hand.begin(task)
        await by_hand.say(
            task, Event("start", {"executionId": str(task.id)}), Event("text-start", {"id": "t1"})
        )
        await run.until("text-start")
        assert await cut_connections(db, listening=True)
        assert await cut_connections(db, listening=False)
        await eventually(lambda: answers(db))
        await by_hand.speak(task, "still ", "here")
        await by_hand.complete(task, {"output": 1})
        heard = await run.rest()
    assert (heard.text, heard.is_done) == ("still here", True)
    assert heard.types[-2:] == ["text-end", "finish"]


async def answers(db: Database) -> bool:
    try:
        return bool(await db.fetch_value("SELECT true"))
    except DatabaseUnavailable:
        return False


# Slow readers


class CountedLooking(Looking):
    """Counts how often anybody looks."""

    looks = 0

    async def follow(self, eyes: Eyes, run_id: UUID, **more: Any) -> Following | None:
        type(self).looks += 1
        return await super().follow(eyes, run_id, **more)


PIECE = "x" * 10_000
PIECES = 4_000


@pytest.fixture
async def long_run(db: Database, ann_id: UUID) -> UUID:
    """A run of Ann's that has said 40 MB and goes on."""
    payload = {"agent": "echo", "version": 1, "input": {"TOPIC": "x"}}
    run_id = await insert_task(db, kind="pipeline", user_id=ann_id, request_payload=payload)
    by_hand = ByHand(db)
    task = await by_hand.claim("pipeline")
    await by_hand.begin(task)
    await by_hand.say(task, Event("start", {"executionId": str(run_id)}), Event("text-start", {"id": "t1"}))
    await by_hand.say(task, *(Event("text-delta", {"id": "t1", "delta": PIECE}) for _ in range(PIECES)))
    return run_id


async def open_and_stop_reading(
    gateway: AgentsGateway, path: str, ann_id: UUID, *, method: str = "GET", body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask, read the head of the answer, and take nothing more."""
    reader, writer = await asyncio.open_connection(gateway.server.host, gateway.server.port, limit=4096)
    head = (
        f"{method} /api/agents{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {token(ann_id)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a socket's
    return reader, writer


async def test_a_reader_that_stops_reading_is_sent_no_more_than_fits(
    database_url: str, db: Database, long_run: UUID, ann_id: UUID
) -> None:
    CountedLooking.looks = 0
    async with agents_gateway(database_url, db, looking_of=CountedLooking) as gateway:
        await gateway.push("echo")
        path = f"/echo/executions/{long_run}/events"
        _, writer = await open_and_stop_reading(gateway, path, ann_id)
        looked = 0

        async def rests() -> bool:
            nonlocal looked
            before, looked = looked, CountedLooking.looks
            await asyncio.sleep(0.2)
            return before == CountedLooking.looks > 0

        await eventually(rests)
        assert CountedLooking.looks < PIECES / 200 / 2, "most of it is not even read from the database"
        async with gateway.client(ann_id) as ann, listening(ann, "GET", path) as other:
            await other.until("text-delta")  # others are served meanwhile
        writer.transport.abort()
        await nobody_reads(gateway)


async def test_a_reader_that_takes_nothing_counts_as_gone(
    database_url: str, db: Database, ann_id: UUID, rows: Rows
) -> None:
    async with agents_gateway(database_url, db, stall_s=0.3) as gateway:
        await gateway.push("echo")
        body = json.dumps({"type": "start", "input": {"TOPIC": "x"}}).encode()
        _, writer = await open_and_stop_reading(gateway, "/echo/execute", ann_id, method="POST", body=body)
        by_hand = ByHand(db)
        task = await by_hand.claim("pipeline")
        await by_hand.begin(task)
        piece = Event("text-delta", {"id": "t1", "delta": PIECE})
        await by_hand.say(task, Event("text-start", {"id": "t1"}), *(piece for _ in range(PIECES)))

        async def is_stopped() -> bool:
            return (await rows.task(task.id))["cancel_requested_at"] is not None

        await eventually(is_stopped)
        await nobody_reads(gateway)
        writer.transport.abort()


# Many


@pytest.mark.slow
async def test_two_hundred_runs_stream_side_by_side_on_one_listening_connection(
    gateway: AgentsGateway, worker: Worker, db: Database
) -> None:
    async def one(number: int) -> str:
        mine = {"Authorization": f"Bearer {token(uuid4())}"}
        async with started(http, "echo", {"TOPIC": f"topic {number}"}, headers=mine) as run:
            heard = await run.rest()
        assert heard.is_done
        return heard.text

    # One client with room for all: each costs 20 ms to make.
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=f"{gateway.url}/api/agents", limits=limits) as http:
        await worker.claimer.stop()  # none ends before all are open
        texts = asyncio.gather(*(one(number) for number in range(200)))

        async def are_open() -> bool:
            return gateway.streams.open == 200

        await eventually(are_open)
        await worker.claimer.start()
        assert await listeners(db) == 2, "the gateway's and the worker's"
        assert await texts == [f"topic {number}" for number in range(200)]
    await nobody_reads(gateway)


async def test_one_user_reads_a_hundred_runs_at_once_and_no_more(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, gateway: AgentsGateway, ann_id: UUID, db: Database
) -> None:
    payload = {"agent": "echo", "version": 1, "input": {"TOPIC": "x"}}
    run_id = await insert_task(db, kind="pipeline", user_id=ann_id, request_payload=payload)
    path = f"/echo/executions/{run_id}/events"
    opened = [await open_and_stop_reading(gateway, path, ann_id) for _ in range(MOST_PER_USER)]
    refused = await ann.get(path)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
    body = {"type": "start", "input": {"TOPIC": "x"}}
    assert (await ann.post("/echo/execute", json=body)).status_code == 429
    assert await db.fetch_value("SELECT count(*) FROM agent_task_requests") == 1, "and runs nothing"
    assert (await bob.get(path)).status_code == 404, "others are served"
    for _, writer in opened:
        writer.transport.abort()
    await nobody_reads(gateway)
    async with listening(ann, "GET", path):
        pass


async def nobody_reads(gateway: AgentsGateway) -> None:
    async def is_so() -> bool:
        return gateway.streams.open == 0

    await eventually(is_so)
