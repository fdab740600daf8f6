"""The official Python client, unmodified; it speaks version 1 and drops whatever is not of the shape it expects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from realtime import AsyncRealtimeChannel, RealtimePostgresChangesListenEvent, RealtimeSubscribeStates
from supabase import AsyncClient, acreate_client

from agent_worker.db.topics import Topics
from tests.gateway.realtime.phone import phone
from tests.gateway.realtime.server import PUBLISHABLE, Gateway, running, token
from tests.waiting import eventually

ALL = RealtimePostgresChangesListenEvent.All


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncClient]:
    made = await acreate_client(gateway.url, PUBLISHABLE)
    yield made
    await made.remove_all_channels()


async def subscribed(channel: AsyncRealtimeChannel) -> None:
    """Subscribe, and return once that holds."""
    states: asyncio.Queue[RealtimeSubscribeStates] = asyncio.Queue()
    await channel.subscribe(lambda state, _: states.put_nowait(state))
    async with asyncio.timeout(20):
        assert await states.get() is RealtimeSubscribeStates.SUBSCRIBED


async def soon(queue: asyncio.Queue[Any]) -> Any:
    async with asyncio.timeout(20):
        return await queue.get()


async def test_changes_arrive_with_a_word_before_that_they_flow(
    gateway: Gateway, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    system: asyncio.Queue[Any] = asyncio.Queue()
    task = str(uuid4())
    channel = client.channel("tasks").on_system(system.put_nowait)
    channel.on_postgres_changes(
        ALL,
        heard.put_nowait,
        table="agent_task_requests",
        schema="public",
        filter=f"id=eq.{task}",
        select=["id"],
    )
    with caplog.at_level(logging.ERROR):
        await subscribed(channel)
        assert (await soon(system)).message == "Subscribed to PostgreSQL"
        gateway.changes.emit("INSERT", {"id": str(uuid4())})
        gateway.changes.emit("INSERT", {"id": task})
        assert (await soon(heard))["data"]["record"] == {"id": task}
    assert not caplog.records, "it logs what it cannot read"


async def test_broadcasts_reach_it_as_objects_whoever_sent_them(
    gateway: Gateway, client: AsyncClient
) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    channel = client.channel("room", {"config": {"broadcast": {"ack": True, "self": True}}})
    await subscribed(channel.on_broadcast("*", heard.put_nowait))
    await channel.send_broadcast("mine", {"n": 1})
    assert (await soon(heard))["payload"] == {"n": 1}

    async with phone(gateway.socket_url()) as other:
        await other.join("room")
        await other.shout("realtime:room", "bytes", b"\x00", is_json=False)
        await other.shout("realtime:room", "theirs", '{"n": "ž"}'.encode(), is_json=True)
        told = await soon(heard)
    assert (told["event"], told["payload"]) == ("theirs", {"n": "ž"}), "bytes cannot be said in version 1"


async def test_members_see_each_other(client: AsyncClient) -> None:
    synced = asyncio.Event()
    channel = client.channel("room", {"config": {"presence": {"key": "me", "enabled": True}}})
    await subscribed(channel.on_presence_sync(synced.set))
    await channel.track({"mood": "calm"})
    await eventually(lambda: asyncio.sleep(0, "me" in channel.presence_state()))
    assert channel.presence_state()["me"][0]["mood"] == "calm"
    await channel.untrack()
    await eventually(lambda: asyncio.sleep(0, not channel.presence_state()))
    assert synced.is_set()


async def test_a_new_token_ends_the_changes_of_the_user_before(gateway: Gateway, client: AsyncClient) -> None:
    ann, ben = str(uuid4()), str(uuid4())
    heard: asyncio.Queue[Any] = asyncio.Queue()
    await client.realtime.set_auth(token(ann))
    channel = client.channel("tasks").on_postgres_changes(ALL, heard.put_nowait, table="agent_task_requests")
    await subscribed(channel)
    await eventually(lambda: asyncio.sleep(0, gateway.changes.emit("INSERT", {"id": 1, "user_id": ann}) == 1))
    assert (await soon(heard))["data"]["record"]["id"] == 1

    await client.realtime.set_auth(token(ben))

    await eventually(lambda: asyncio.sleep(0, gateway.changes.emit("INSERT", {"id": 2, "user_id": ben}) == 1))
    assert gateway.changes.emit("INSERT", {"id": 3, "user_id": ann}) == 0
    assert (await soon(heard))["data"]["record"]["id"] == 2


@pytest.mark.filterwarnings("ignore:ConnectionClosed:DeprecationWarning")  # the client's own
async def test_it_comes_back_when_the_gateway_was_restarted(topics: Topics) -> None:
    async with running(topics) as before:
        client = await acreate_client(before.url, PUBLISHABLE)
        heard: asyncio.Queue[Any] = asyncio.Queue()
        channel = client.channel("tasks").on_postgres_changes(
            ALL, heard.put_nowait, table="agent_task_requests"
        )
        await subscribed(channel)
    async with running(topics, port=before.port) as after:
        await eventually(lambda: asyncio.sleep(0, after.changes.emit("INSERT", {"id": 1}) == 1))
        assert (await soon(heard))["data"]["record"] == {"id": 1}
        await client.remove_all_channels()
