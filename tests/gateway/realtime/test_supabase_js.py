"""The official JavaScript client, unmodified, oldest and newest that we promise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from agent_worker.db.topics import Topics
from tests.gateway.realtime.browser import SupabaseJs, supabase_js
from tests.gateway.realtime.phone import phone
from tests.gateway.realtime.server import PUBLISHABLE, Gateway, running, token

pytestmark = [pytest.mark.node, pytest.mark.slow]

CLIENTS = ("supabase-js-2.109", "supabase-js-2.119")
TASKS = {"event": "*", "schema": "public", "table": "agent_task_requests"}


@pytest.fixture(
    params=[*((client, "") for client in CLIENTS), (CLIENTS[1], "1.0.0")], ids="{0[0]} {0[1]}".format
)
async def js(
    gateway: Gateway, node_modules: Path, request: pytest.FixtureRequest
) -> AsyncIterator[SupabaseJs]:
    client, vsn = request.param
    async with supabase_js(node_modules, gateway.url, PUBLISHABLE, client=client, vsn=vsn) as started:
        yield started


async def test_changes_arrive_at_the_callbacks_they_fit(gateway: Gateway, js: SupabaseJs) -> None:
    task = str(uuid4())
    update = {**TASKS, "event": "UPDATE", "filter": f"id=eq.{task}"}
    await js.subscribe("tasks", changes=[update, {**TASKS, "event": "INSERT"}])
    system = await js.event("system")
    assert system["payload"]["message"] == "Subscribed to PostgreSQL"

    gateway.changes.emit("UPDATE", {"id": str(uuid4()), "status": "other"})
    gateway.changes.emit("UPDATE", {"id": task, "status": "completed"})

    heard = await js.event("change")
    assert heard["wanted"] == update
    change = heard["change"]
    assert (change["eventType"], change["new"]) == ("UPDATE", {"id": task, "status": "completed"})
    assert change["old"] == {"id": task}


async def test_broadcasts_are_acknowledged_and_come_back_to_who_wants_them(js: SupabaseJs) -> None:
    await js.subscribe("room", config={"broadcast": {"ack": True, "self": True}})

    await js.do("send", name="room", what="grüß", payload={"text": "žluťoučký 🐎", "n": [1, 2.5, None]})

    assert (await js.event("sent"))["answer"] == "ok"
    heard = next((told for told in js.seen if told["event"] == "broadcast"), None) or await js.event(
        "broadcast"
    )
    assert heard["payload"] == {"text": "žluťoučký 🐎", "n": [1, 2.5, None]}


async def test_bytes_are_broadcast_as_bytes_in_version_2(gateway: Gateway, node_modules: Path) -> None:
    for client in CLIENTS:
        async with supabase_js(node_modules, gateway.url, PUBLISHABLE, client=client) as js:
            await js.subscribe("room", config={"broadcast": {"ack": True, "self": True}})
            await js.do("sendBytes", name="room", what="raw", numbers=[0, 255, 7])
            heard = await js.event("broadcast")
            assert (heard["what"], heard["payload"]) == ("raw", {"bytes": [0, 255, 7]})


async def test_a_topic_with_letters_of_several_bytes_is_one_topic(gateway: Gateway, js: SupabaseJs) -> None:
    async with phone(gateway.socket_url()) as other:
        await js.subscribe("zimmer-ä-ž", config={"broadcast": {"ack": True}})
        await other.join("zimmer-ä-ž")
        await js.do("send", name="zimmer-ä-ž", what="x", payload={})
        assert (await js.event("sent"))["answer"] == "ok"
        assert (await other.event("broadcast")).topic == "realtime:zimmer-ä-ž"


async def test_members_see_each_other_come_and_go(gateway: Gateway, js: SupabaseJs) -> None:
    await js.subscribe("room", presence=True, config={"presence": {"key": "me"}})
    await js.do("track", name="room", payload={"mood": "calm"})
    assert (await js.event("tracked"))["answer"] == "ok"

    async with phone(gateway.socket_url()) as other:
        await other.join("room", {"presence": {"enabled": True, "key": "you"}})
        state = await other.event("presence_state")
        assert [meta["mood"] for meta in state.payload["me"]["metas"]] == ["calm"]
        await other.say(
            "realtime:room", "presence", {"event": "track", "payload": {"mood": "glad"}}, join_ref="1"
        )
        while set((await js.event("sync"))["state"]) != {"me", "you"}:
            pass
        await js.do("untrack", name="room")
        while set((await js.event("sync"))["state"]) != {"you"}:
            pass
    while (await js.event("sync"))["state"]:
        pass


async def test_a_message_without_a_socket_goes_by_http(gateway: Gateway, js: SupabaseJs) -> None:
    async with phone(gateway.socket_url()) as other:
        await other.join("room a/b")
        await js.do("httpSend", name="room a/b", what="news", payload={"n": 1})
        assert (await js.event("sent"))["answer"] == {"success": True}
        assert (await other.event("broadcast")).payload["payload"] == {"n": 1}


async def test_a_new_token_ends_the_changes_of_the_user_before(gateway: Gateway, js: SupabaseJs) -> None:
    ann, ben = str(uuid4()), str(uuid4())
    await js.do("setAuth", token=token(ann))
    await js.event("authorized")
    await js.subscribe("tasks", changes=[TASKS])
    await js.event("system")
    gateway.changes.emit("INSERT", {"id": 1, "user_id": ann})
    assert (await js.event("change"))["change"]["new"]["id"] == 1

    await js.do("setAuth", token=token(ben))
    await js.event("authorized")
    while gateway.changes.emit("INSERT", {"id": 2, "user_id": ben}) == 0:
        await js.do("setAuth", token=token(ben))
        await js.event("authorized")

    assert gateway.changes.emit("INSERT", {"id": 3, "user_id": ann}) == 0
    assert (await js.event("change"))["change"]["new"]["id"] == 2


async def test_a_refused_join_is_told_with_its_reason(js: SupabaseJs) -> None:
    await js.do("setAuth", token="no.good.token")
    await js.do("subscribe", name="room")
    told = await js.event("status", status="CHANNEL_ERROR")
    assert "JwtSignatureError" in told["error"]


async def test_removing_a_channel_is_answered(gateway: Gateway, js: SupabaseJs) -> None:
    await js.subscribe("room", changes=[TASKS])
    await js.do("remove", name="room")
    assert (await js.event("removed"))["answer"] == "ok"
    assert gateway.hub.channels == 0


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_comes_back_when_the_gateway_was_restarted(
    topics: Topics, node_modules: Path, client: str
) -> None:
    async with running(topics) as before:
        port = before.port
        js_context = supabase_js(node_modules, before.url, PUBLISHABLE, client=client)
        js = await js_context.__aenter__()
        await js.subscribe("tasks", changes=[TASKS])
        await js.event("system")
    try:
        await js.event("status", status="CHANNEL_ERROR")
        async with running(topics, port=port) as after:
            await js.event("status", status="SUBSCRIBED")
            await js.event("system")
            after.changes.emit("INSERT", {"id": 1})
            assert (await js.event("change"))["change"]["new"] == {"id": 1}
    finally:
        await js_context.__aexit__(None, None, None)
