"""Realtime with everything behind it: real keys, real tokens, real rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from agent_worker.db.connection import Database
from agent_worker.db.link import CHANNEL
from agent_worker.db.project import Project
from agent_worker.db.realtime import Realtime
from agent_worker.testing.postgres import insert_task
from tests.gateway.realtime.phone import Phone, phone
from tests.gateway.running import Api, api, gateway
from tests.waiting import eventually

TASKS = {"event": "*", "schema": "public", "table": "agent_task_requests"}


@pytest.fixture
async def ask(database_url: str, db: Database, tmp_path: Path) -> AsyncIterator[Api]:
    async with gateway(database_url, tmp_path) as running, api(running) as made:
        yield made

    async def is_let_go() -> bool:
        query = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        return await db.fetch_value(query) == 0

    await eventually(is_let_go)  # a database that somebody follows cannot be dropped


def socket_url(ask: Api) -> str:
    host = ask.url.removeprefix("http://")
    return f"ws://{host}/realtime/v1/websocket?apikey={ask.publishable}&vsn=2.0.0"


async def follows(client: Phone, session: dict[str, Any]) -> None:
    config = {"postgres_changes": [TASKS], "presence": {"enabled": False}}
    await client.join("tasks", config, access_token=session["access_token"])
    heard = await client.event("system")
    assert heard.payload["status"] == "ok", heard


async def test_a_user_sees_its_own_tasks_change_and_nobody_elses(ask: Api, db: Database) -> None:
    ann, ben = await ask.sign_up(), await ask.sign_up()
    async with phone(socket_url(ask)) as anns, phone(socket_url(ask)) as bens:
        await follows(anns, ann)
        await follows(bens, ben)
        task = await insert_task(db, user_id=UUID(ann["user"]["id"]))
        heard = await anns.event("postgres_changes")
        assert heard.payload["data"]["record"]["id"] == str(task)
        last = await insert_task(db, user_id=UUID(ben["user"]["id"]))
        heard = await bens.event("postgres_changes")
        assert heard.payload["data"]["record"]["id"] == str(last), "the first it hears of"


async def test_a_token_of_another_user_changes_whose_tasks_are_seen(ask: Api, db: Database) -> None:
    ann, ben = await ask.sign_up(), await ask.sign_up()
    async with phone(socket_url(ask)) as client:
        await follows(client, ann)
        await client.say(
            "realtime:tasks", "access_token", {"access_token": ben["access_token"]}, join_ref="1"
        )
        assert await client.is_silent()
        await insert_task(db, user_id=UUID(ann["user"]["id"]))
        task = await insert_task(db, user_id=UUID(ben["user"]["id"]))
        heard = await client.event("postgres_changes")
        assert heard.payload["data"]["record"]["id"] == str(task)


async def test_a_task_is_streamed_to_its_owner_on_a_private_topic(ask: Api, db: Database) -> None:
    ann, ben = await ask.sign_up(), await ask.sign_up()
    task = await insert_task(db, user_id=UUID(ann["user"]["id"]))
    config = {"private": True, "presence": {"enabled": False}}
    async with phone(socket_url(ask)) as anns, phone(socket_url(ask)) as bens:
        await follows(anns, ann)  # by then, rows are followed
        assert (await anns.join(f"task:{task}", config, access_token=ann["access_token"]))["status"] == "ok"
        refused = await bens.join(f"task:{task}", config, access_token=ben["access_token"])
        assert refused["response"]["reason"].startswith("Unauthorized: ")
        async with db.connection() as conn:
            await conn.execute("SELECT realtime.send('{\"n\": 1}', 'delta', %s, true)", [f"task:{task}"])
        heard = await anns.event("broadcast")
    assert (heard.payload["event"], heard.payload["payload"]["n"]) == ("delta", 1)
    assert heard.payload["meta"]["id"]


async def test_nobody_else_may_speak_on_a_tasks_topic(ask: Api, db: Database) -> None:
    ann = await ask.sign_up()
    task = await insert_task(db, user_id=UUID(ann["user"]["id"]))
    config = {"private": True, "broadcast": {"ack": True}, "presence": {"enabled": False}}
    async with phone(socket_url(ask)) as client:
        await client.join(f"task:{task}", config, access_token=ann["access_token"])
        said = {"event": "delta", "payload": {}}
        ref = await client.say(f"realtime:task:{task}", "broadcast", said, join_ref="1")
        assert (await client.reply(ref))["status"] == "error", "not even its owner: deltas are the worker's"


async def test_a_worker_over_http_hears_of_tasks_and_cancel_requests(ask: Api, db: Database) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    up = asyncio.Event()
    project = Project(ask.url, SecretStr(ask.secret))
    ears = Realtime(project, on_notify=lambda *news: heard.put_nowait(news), on_up=up.set)
    await ears.start()
    try:
        async with asyncio.timeout(30):
            await up.wait()
            task = await insert_task(db, kind="chat")
            assert await heard.get() == (CHANNEL, "task chat")
            async with db.connection() as conn:
                await conn.execute(
                    "UPDATE public.agent_task_requests SET cancel_requested_at = now(), status = 'processing' "
                    "WHERE id = %s",
                    [task],
                )
            assert await heard.get() == (CHANNEL, f"cancel {task}")
    finally:
        await ears.stop()
