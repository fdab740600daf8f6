"""The same key of the same caller is the same run, whoever asks at the same time."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx

from agent_worker.db.connection import Database
from agent_worker.worker.worker import Worker
from tests.gateway.agents.reading import Heard
from tests.gateway.agents.serving import AgentsGateway, agents_gateway, started
from tests.worker.conftest import Rows

KEY = {"Idempotency-Key": "order-1"}


async def run(http: httpx.AsyncClient, given: dict[str, Any], slug: str = "echo", **request: Any) -> Heard:
    async with started(http, slug, given, **request) as opened:
        return await opened.rest()


async def count(db: Database) -> int:
    number: int = await db.fetch_value("SELECT count(*) FROM agent_task_requests")
    return number


async def test_a_second_start_with_the_key_streams_the_first_ones_run(
    ann: httpx.AsyncClient, worker: Worker, db: Database
) -> None:
    first = await run(ann, {"TOPIC": "x"}, headers=KEY)
    second = await run(ann, {"TOPIC": "x"}, headers=KEY)
    assert second.events == first.events
    assert await count(db) == 1


async def test_starts_at_the_same_moment_in_two_gateways_are_one_run(  # noqa: PLR0917 - fixtures
    ann: httpx.AsyncClient,
    gateway: AgentsGateway,
    worker: Worker,
    database_url: str,
    db: Database,
    ann_id: UUID,
) -> None:
    async with agents_gateway(database_url, db) as second, second.client(ann_id) as elsewhere:
        heard = await asyncio.gather(
            *(run(http, {"TOPIC": "x"}, headers=KEY) for http in (ann, elsewhere) for _ in range(5))
        )
    assert {each.execution_id for each in heard} == {heard[0].execution_id}
    assert all(each.is_done and each.text == "x" for each in heard)
    assert await count(db) == 1


async def test_another_input_under_the_key_is_refused(
    ann: httpx.AsyncClient, worker: Worker, db: Database
) -> None:
    await run(ann, {"TOPIC": "x"}, headers=KEY)
    reply = await ann.post("/echo/execute", json={"type": "start", "input": {"TOPIC": "y"}}, headers=KEY)
    assert (reply.status_code, reply.json()["code"]) == (409, "idempotency_mismatch")
    assert await count(db) == 1


async def test_keys_are_each_callers_and_each_agents_own(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, db: Database
) -> None:
    async with gateway.client("service_role") as service:
        ids = {(await run(http, {"TOPIC": "x"}, headers=KEY)).execution_id for http in (ann, bob, service)}
    ids.add((await run(ann, {"FOR": "10ms"}, "wait", headers=KEY)).execution_id)
    assert len(ids) == await count(db) == 4


async def test_a_version_that_was_pushed_meanwhile_does_not_make_it_another_run(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, rows: Rows
) -> None:
    first = await run(ann, {"TOPIC": "x"}, headers=KEY)
    found = await gateway.definitions.find("echo")
    assert found is not None
    changed = {**found.content, "settings": {**found.content["settings"], "name": "New"}}  # type: ignore[dict-item]  # it is an object
    assert (await gateway.definitions.push("echo", changed)).version == 2
    assert (await run(ann, {"TOPIC": "x"}, headers=KEY)).execution_id == first.execution_id
    assert (await rows.task(UUID(first.execution_id)))["request_payload"]["version"] == 1


async def test_a_row_that_somebody_else_put_in_its_place_is_not_shown(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, worker: Worker, db: Database
) -> None:
    first = await run(ann, {"TOPIC": "x"}, headers=KEY)
    await db.fetch_all(
        "UPDATE agent_task_requests SET user_id = gen_random_uuid() WHERE id = %(id)s RETURNING id",
        {"id": first.execution_id},
    )
    reply = await ann.post("/echo/execute", json={"type": "start", "input": {"TOPIC": "x"}}, headers=KEY)
    assert (reply.status_code, reply.json()["code"]) == (409, "idempotency_mismatch")


async def test_keys_are_bounded(ann: httpx.AsyncClient) -> None:
    for key in ("", "x" * 256):
        reply = await ann.post(
            "/echo/execute", json={"type": "start", "input": {"TOPIC": "x"}}, headers={"Idempotency-Key": key}
        )
        assert (reply.status_code, reply.json()["code"]) == (400, "validation_error")
