"""Broadcasts: over sockets of both versions, by HTTP, and from rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agent_worker.db.topics import Topics
from agent_worker.gateway.realtime.binding import Broadcast
from agent_worker.gateway.realtime.limits import RealtimeLimits
from tests.gateway.realtime.phone import Phone, phone
from tests.gateway.realtime.server import PUBLISHABLE, Gateway, running

ACK = {"broadcast": {"ack": True}, "presence": {"enabled": False}}
ONE = "/realtime/v1/api/broadcast/room/events/news"
BATCH = "/realtime/v1/api/broadcast"


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=gateway.url, headers={"apikey": PUBLISHABLE}) as client:
        yield client


@pytest.fixture
async def listener(gateway: Gateway) -> AsyncIterator[Phone]:
    """Somebody in the room, in version 2."""
    async with phone(gateway.socket_url()) as connected:
        await connected.join("room")
        yield connected


@pytest.mark.parametrize("sender_vsn", ["1.0.0", "2.0.0"])
async def test_json_reaches_both_versions_from_both(
    gateway: Gateway, listener: Phone, sender_vsn: str
) -> None:
    async with (
        phone(gateway.socket_url(vsn=sender_vsn)) as sender,
        phone(gateway.socket_url(vsn="1.0.0")) as old,
    ):
        await old.join("room")
        await sender.join("room", ACK)
        payload = {"type": "broadcast", "event": "x", "payload": {"n": "ž", "deep": [None, 1.5]}}
        ref = await sender.say("realtime:room", "broadcast", payload, join_ref="1")
        assert await sender.reply(ref) == {"status": "ok", "response": {}}
        for heard in (await old.hear(), await listener.hear()):
            assert (heard.topic, heard.event, heard.payload) == ("realtime:room", "broadcast", payload)
        assert await sender.is_silent(), "it did not ask to hear itself"


async def test_a_binary_frame_reaches_version_1_as_json_where_that_can_say_it(
    gateway: Gateway, listener: Phone
) -> None:
    async with phone(gateway.socket_url(vsn="1.0.0")) as old, phone(gateway.socket_url()) as sender:
        await old.join("room")
        await sender.join("room")
        await sender.shout("realtime:room", "bytes", b"\x00\xff", is_json=False)
        await sender.shout("realtime:room", "ž", b' {"n": 1} ', is_json=True)
        assert (await listener.hear()).payload["payload"] == b"\x00\xff"
        assert (await listener.hear()).payload["payload"] == {"n": 1}
        assert (await old.hear()).payload == {"type": "broadcast", "event": "ž", "payload": {"n": 1}}


async def test_without_ack_nothing_is_answered(client: Phone) -> None:
    await client.join("room")
    await client.say("realtime:room", "broadcast", {"event": "x", "payload": {}}, join_ref="1")
    assert await client.is_silent()


async def test_topics_do_not_hear_each_other(listener: Phone, client: Phone) -> None:
    await client.join("room 2", ACK)
    ref = await client.say("realtime:room 2", "broadcast", {"event": "x", "payload": {}}, join_ref="1")
    await client.reply(ref)
    assert await listener.is_silent()


async def test_what_is_too_large_or_has_no_event_is_refused_and_the_channel_stays(topics: Topics) -> None:
    limits = RealtimeLimits(broadcast_bytes=1000)
    async with running(topics, limits=limits) as gateway, phone(gateway.socket_url()) as client:
        await client.join("room", ACK)
        for payload in ({"event": "x", "payload": "y" * 1000}, {"event": 7}, {}):
            ref = await client.say("realtime:room", "broadcast", payload, join_ref="1")
            assert (await client.reply(ref))["status"] == "error"
        ref = await client.say("realtime:room", "broadcast", {"event": "x"}, join_ref="1")
        assert (await client.reply(ref))["status"] == "ok"


async def test_a_stored_message_reaches_its_room_with_its_number(gateway: Gateway, client: Phone) -> None:
    await client.join("room")
    gateway.changes.store(Broadcast("room", "delta", '{"n":1}', private=True, id="hidden"))
    gateway.changes.store(Broadcast("room", "delta", '{"n":2}', private=False, id="m2"))
    heard = await client.hear()
    assert heard.payload == {"type": "broadcast", "event": "delta", "payload": {"n": 2}, "meta": {"id": "m2"}}


async def test_http_sends_a_batch(http: httpx.AsyncClient, listener: Phone) -> None:
    messages = [{"topic": "room", "event": f"e{n}", "payload": {"n": n}} for n in range(2)]
    reply = await http.post(BATCH, json={"messages": messages})
    assert (reply.status_code, reply.content) == (202, b"")
    assert [(await listener.hear()).payload["payload"] for _ in range(2)] == [{"n": 0}, {"n": 1}]


async def test_http_sends_one_message_of_json_or_bytes(http: httpx.AsyncClient, listener: Phone) -> None:
    assert (await http.post(ONE, json={"n": 1})).status_code == 202
    octets = {"content-type": "application/octet-stream"}
    assert (await http.post(ONE, content=b"\x00", headers=octets)).status_code == 202
    assert [(await listener.hear()).payload["payload"] for _ in range(2)] == [{"n": 1}, b"\x00"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (BATCH, b"{", 400),
        (BATCH, b"\xff", 400),
        (BATCH, b"[" * 100_000, 400),
        (BATCH, b'{"messages":[{"topic":"a","event":"b","payload":NaN}]}', 400),
        (BATCH, b"[]", 422),
        (BATCH, b"{}", 422),
        (BATCH, b'{"messages":[]}', 422),
        (BATCH, b'{"messages":[7]}', 422),
        (BATCH, b'{"messages":[{"topic":" ","event":"b","payload":1}]}', 422),
        (BATCH, b'{"messages":[{"topic":"\\ud800","event":"b","payload":1}]}', 422),
        (BATCH, b'{"messages":[{"topic":"a","payload":1}]}', 422),
        (BATCH, b'{"messages":[{"topic":"a","event":"b"}]}', 422),
        (
            BATCH,
            json.dumps({"messages": [{"topic": "a", "event": "b", "payload": "x" * 3_000_001}]}).encode(),
            422,
        ),
        (ONE, b"", 400),
        (ONE, b"null", 422),
        ("/realtime/v1/api/broadcast/room", b"{}", 404),
        ("/realtime/v1/api/broadcast/room/other/x", b"{}", 404),
        ("/realtime/v1/api/broadcast/a/b/events/x", b"{}", 404),
        ("/realtime/v1/api/broadcast/%20/events/x", b"{}", 422),
        ("/realtime/v1/api/broadcast/%00/events/x", b"{}", 422),
    ],
)
async def test_http_refuses_what_it_cannot_send(
    http: httpx.AsyncClient, path: str, body: bytes, status: int
) -> None:
    reply = await http.post(path, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert reply.json()["message"]


@pytest.mark.parametrize("path", [BATCH, ONE])
async def test_http_needs_a_key(gateway: Gateway, path: str) -> None:
    headers: list[dict[str, Any]] = [{}, {"apikey": "sb_secret_wrong"}]
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        for each in headers:
            assert (await http.post(path, json={"n": 1}, headers=each)).status_code == 401
