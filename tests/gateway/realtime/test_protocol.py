"""Phoenix's protocol over a real socket, in both versions."""

from __future__ import annotations

import contextlib
import json
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent_worker.db.topics import Topics
from agent_worker.gateway.realtime.limits import RealtimeLimits
from tests.gateway.realtime.phone import Heard, Phone, phone
from tests.gateway.realtime.server import PUBLISHABLE, Gateway, running

TASKS = {"event": "*", "schema": "public", "table": "agent_task_requests"}


async def test_a_heartbeat_is_answered_even_without_a_number(client: Phone) -> None:
    await client.say("phoenix", "heartbeat", {}, ref=None)
    heard = await client.hear()
    assert (heard.topic, heard.event, heard.ref) == ("phoenix", "phx_reply", None)
    assert heard.payload == {"status": "ok", "response": {}}


async def test_a_join_without_changes_says_that_there_are_none(client: Phone) -> None:
    assert await client.join("room") == {"status": "ok", "response": {"postgres_changes": []}}
    assert await client.is_silent(), "no system message either"


async def test_entries_come_back_by_position_with_numbers_that_are_not_zero(client: Phone) -> None:
    wanted = [{**TASKS, "filter": "id=eq.1"}, TASKS, {"event": "INSERT", "schema": "public"}, TASKS]

    reply = await client.join("room", {"postgres_changes": wanted})

    told = reply["response"]["postgres_changes"]
    ids = [entry.pop("id") for entry in told]
    assert told == wanted
    assert all(isinstance(number, int) and number for number in ids)
    assert ids[1] == ids[3], "equal entries share a number"
    assert len(set(ids)) == 3


async def test_a_system_message_says_when_changes_flow(gateway: Gateway, client: Phone) -> None:
    gateway.changes.open.clear()
    await client.join("room", {"postgres_changes": [TASKS], "presence": {"enabled": False}})
    assert await client.is_silent()
    gateway.changes.open.set()

    heard = await client.event("system")

    assert heard.payload == {
        "extension": "postgres_changes",
        "status": "ok",
        "message": "Subscribed to PostgreSQL",
        "channel": "room",
    }


async def test_a_change_names_the_entries_that_it_fits(gateway: Gateway, client: Phone) -> None:
    task = str(uuid4())
    wanted = [{**TASKS, "filter": f"id=eq.{task}"}, {**TASKS, "event": "INSERT"}, TASKS]
    reply = await client.join("room", {"postgres_changes": wanted})
    ids = [entry["id"] for entry in reply["response"]["postgres_changes"]]
    await client.event("system")

    gateway.changes.emit("UPDATE", {"id": task, "status": "completed", "text": 'quo"ted ü'})

    heard = await client.event("postgres_changes")
    assert heard.payload["ids"] == [ids[0], ids[2]]
    assert heard.payload["data"]["record"] == {"id": task, "status": "completed", "text": 'quo"ted ü'}
    assert (heard.ref, heard.join_ref) == (None, None), "a client drops what names an old join"


async def test_leaving_is_answered_and_ends_the_changes(gateway: Gateway, client: Phone) -> None:
    await client.join("room", {"postgres_changes": [TASKS]})
    await client.event("system")

    ref = await client.say("realtime:room", "phx_leave", {}, join_ref="1")

    assert await client.reply(ref) == {"status": "ok", "response": {}}
    assert (await client.hear()).event == "phx_close"
    assert gateway.changes.emit("INSERT", {"id": 1}) == 0
    assert gateway.hub.channels == 0


async def test_a_second_join_of_a_topic_takes_the_place_of_the_first(gateway: Gateway, client: Phone) -> None:
    await client.join("room", {"postgres_changes": [TASKS]})
    await client.say("realtime:room", "phx_join", {"config": {}}, join_ref="9", ref="9")

    closed = await client.event("phx_close")

    assert closed.ref == "1"
    assert (await client.reply("9"))["status"] == "ok"
    assert (gateway.hub.channels, len(gateway.changes.subscribers)) == (1, 0)


async def test_a_message_to_a_topic_that_was_not_joined_is_refused(client: Phone) -> None:
    ref = await client.say("realtime:nowhere", "broadcast", {"event": "x"})
    assert await client.reply(ref) == {"status": "error", "response": {"reason": "unmatched topic"}}
    ref = await client.say("realtime:nowhere", "phx_leave", {})
    assert (await client.reply(ref))["status"] == "ok"


async def test_a_message_of_an_earlier_join_is_ignored(client: Phone) -> None:
    await client.join("room", {"broadcast": {"ack": True}, "presence": {"enabled": False}})
    await client.say("realtime:room", "broadcast", {"event": "x", "payload": {}}, join_ref="0")
    await client.say("realtime:room", "phx_leave", {}, join_ref="0")
    assert await client.is_silent()


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        ("realtime:", {}, "TopicNameRequired"),
        ("other:room", {}, "TopicNameRequired"),
        ("realtime:x", {"config": []}, "InvalidJoinPayload"),
        ("realtime:x", {"config": {"private": 7}}, "InvalidJoinPayload"),
        ("realtime:x", {"config": {"broadcast": {"self": "maybe"}}}, "InvalidJoinPayload"),
        ("realtime:x", {"config": {"presence": {"key": 7}}}, "InvalidJoinPayload"),
        ("realtime:x", {"config": {"postgres_changes": {}}}, "InvalidJoinPayload"),
        ("realtime:x", {"access_token": ["no"]}, "InvalidJoinPayload"),
        ("realtime:x", {"access_token": "no.token"}, "MalformedJWT"),
        ("realtime:x", {"access_token": "a.b.c"}, "JwtSignatureError"),
        ("realtime:x", {"config": {"broadcast": {"replay": {"since": 1}}}}, "UnableToReplayMessages"),
        (
            "realtime:x",
            {"config": {"private": True, "broadcast": {"replay": {"since": "1"}}}},
            "UnableToReplayMessages",
        ),
    ],
)
async def test_a_bad_join_is_refused_with_a_code_and_the_socket_stays(
    client: Phone, topic: str, payload: object, code: str
) -> None:
    await client.say(topic, "phx_join", payload, join_ref="1", ref="1")
    reply = await client.reply("1")
    assert reply["status"] == "error"
    assert reply["response"]["reason"].startswith(f"{code}: ")
    assert (await client.join("room"))["status"] == "ok"


@pytest.mark.parametrize(
    "entry",
    [
        {},
        "text",
        7,
        {"event": "INSERT"},
        {"table": ["x"]},
        {"table": "x\x00"},
        {"table": "\ud800"},
        {"schema": "public", "table": "missing"},
        {**TASKS, "event": "TRUNCATE"},
        {**TASKS, "select": "id"},
        {**TASKS, "filter": 7},
    ],
)
async def test_a_bad_entry_is_refused_by_a_system_message_and_the_channel_goes_on(
    client: Phone, entry: object
) -> None:
    config = {"postgres_changes": [TASKS, entry], "broadcast": {"self": True}}
    assert (await client.join("room", config))["status"] == "ok"

    heard = await client.event("system")

    assert (heard.payload["status"], heard.payload["extension"]) == ("error", "postgres_changes")
    await client.say("realtime:room", "broadcast", {"type": "broadcast", "event": "x", "payload": {}})
    assert (await client.event("broadcast")).payload["event"] == "x"


async def test_a_join_may_wait_for_changes_and_misses_none(gateway: Gateway, client: Phone) -> None:
    gateway.changes.open.clear()
    config = {"postgres_changes": [TASKS], "postgres_changes_options": {"wait": True}}
    await client.say("realtime:room", "phx_join", {"config": config}, join_ref="1", ref="1")
    assert await client.is_silent()
    gateway.changes.emit("INSERT", {"id": 1})
    assert await client.is_silent(), "the client does not know the numbers yet"

    gateway.changes.open.set()

    assert (await client.hear()).event == "phx_reply"
    assert [(await client.hear()).event for _ in range(3)] == [
        "presence_state",
        "postgres_changes",
        "system",
    ]


async def test_a_join_that_waited_too_long_is_refused(gateway: Gateway, client: Phone) -> None:
    gateway.changes.open.clear()
    options = {"wait": True, "timeout": 20}
    reply = await client.join("room", {"postgres_changes": [TASKS], "postgres_changes_options": options})
    assert reply["response"]["reason"].startswith("PostgresChangesSubscribeTimeout: ")
    assert not gateway.changes.subscribers


async def test_a_join_that_waits_for_a_bad_entry_is_refused(client: Phone) -> None:
    config = {"postgres_changes": [{**TASKS, "table": "missing"}], "postgres_changes_options": {"wait": True}}
    reply = await client.join("room", config)
    assert reply["response"]["reason"].startswith("RealtimeDisabledForConfiguration: ")


async def test_changes_are_asked_for_again_while_the_database_is_away(
    gateway: Gateway, client: Phone
) -> None:
    gateway.changes.outages = 1
    await client.join("room", {"postgres_changes": [TASKS]})
    told = [(await client.event("system")).payload["status"] for _ in range(2)]
    assert told == ["error", "ok"]


async def test_leaving_during_a_slow_join_ends_it(gateway: Gateway, client: Phone) -> None:
    gateway.changes.open.clear()
    config = {"postgres_changes": [TASKS], "postgres_changes_options": {"wait": True}}
    await client.say("realtime:room", "phx_join", {"config": config}, join_ref="1", ref="1")
    ref = await client.say("realtime:room", "phx_leave", {}, join_ref="1")
    assert (await client.reply(ref))["status"] == "ok"
    assert (await client.hear()).event == "phx_close"
    assert not gateway.changes.subscribers


async def test_a_channel_may_ask_to_be_told_that_the_database_is_followed(client: Phone) -> None:
    await client.join("room", {"broadcast": {"replication_ready": True}})
    heard = await client.event("system")
    assert heard.payload["message"] == "Replication connection established"


async def test_frames_that_cannot_be_read_are_ignored_and_the_socket_stays(client: Phone) -> None:
    for frame in (
        "",
        "no json",
        "[]",
        "{}",
        "null",
        "[1,2,3,4,5]",
        '["1","1",7,"phx_join",{}]',
        '["1",{},"realtime:x","phx_join",{}]',
        '["1",true,"realtime:x","phx_join",{}]',
        '["1","1","realtime:\\ud800","phx_join",{}]',
        '["1","1","realtime:\\u0000","phx_join",{}]',
        '["1","1","realtime:x","phx_join",{"config":NaN}]',
        '["1","1","realtime:x","phx_join",{"config":1e999}]',
        '["1","1","realtime:x","phx_join",[]]',
        "[" * 100_000,
        b"",
        b"\x03",
        b"\x00\x01\x01\x01\x01\x01",
        b"\x03\xff\xff\xff\xff\xff\x01abc",
        b"\x03\x00\x00\x01\x01\x00\x01te\xff",
        b"\x03\x00\x00\x01\x01\x00\x01te{no json",
    ):
        await client.socket.send(frame)
    assert await client.is_silent()


async def test_unknown_events_are_left_alone(client: Phone) -> None:
    await client.join("room")
    for event, payload in (("nonsense", {}), ("access_token", {}), ("access_token", {"access_token": None})):
        await client.say("realtime:room", event, payload, join_ref="1")
    assert await client.is_silent()


@pytest.mark.parametrize(
    ("url_part", "status", "error"),
    [
        ({"key": None}, 401, "No API key found in request"),
        ({"key": "sb_publishable_wrong"}, 401, "Invalid API key"),
        ({"vsn": "3.0.0"}, 400, "The protocol version '3.0.0' is not supported; 1.0.0 and 2.0.0 are"),
    ],
)
async def test_a_handshake_is_refused_in_http_with_the_reason(
    gateway: Gateway, url_part: dict[str, str | None], status: int, error: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(gateway.socket_url(**url_part)):
            pass
    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body or b"") == {"error": error}


async def test_version_1_is_spoken_with_whoever_names_none(gateway: Gateway) -> None:
    async with phone(gateway.socket_url(vsn=None)) as client:
        assert (await client.join("room"))["status"] == "ok"


async def test_more_sockets_than_allowed_are_refused(topics: Topics) -> None:
    async with (
        running(topics, limits=RealtimeLimits(sockets=1)) as gateway,
        phone(gateway.socket_url()) as client,
    ):
        await client.join("room")
        with pytest.raises(InvalidStatus) as refused:
            async with connect(gateway.socket_url()):
                pass
    assert refused.value.response.status_code == 429


async def test_more_channels_than_allowed_are_refused_and_the_others_go_on(topics: Topics) -> None:
    async with (
        running(topics, limits=RealtimeLimits(channels=2)) as gateway,
        phone(gateway.socket_url()) as client,
    ):
        replies = [await client.join(f"room {n}") for n in range(3)]
        assert [reply["status"] for reply in replies] == ["ok", "ok", "error"]
        assert replies[2]["response"] == {"reason": "ChannelRateLimitReached: Too many channels"}
        await client.say("realtime:room 0", "phx_leave", {}, join_ref="1")
        assert (await client.join("room 3"))["status"] == "ok"


async def test_a_flood_of_joins_closes_the_socket_and_says_why(topics: Topics) -> None:
    limits = RealtimeLimits(channels=2, joins_per_s=1)
    async with running(topics, limits=limits) as gateway, phone(gateway.socket_url()) as client:
        for n in range(20):
            await client.say("realtime:room", "phx_join", {"config": {}}, join_ref=str(n), ref=str(n))
        refused = await client.until(lambda heard: heard.payload.get("status") == "error")
        code = await client.closed()
    assert refused.payload["response"]["reason"] == "ClientJoinRateLimitReached: Too many joins per second"
    assert code == 1008


async def test_a_flood_of_messages_closes_the_socket_and_says_why(topics: Topics) -> None:
    async with (
        running(topics, limits=RealtimeLimits(messages_per_s=10)) as gateway,
        phone(gateway.socket_url()) as client,
    ):
        await client.join("room")
        for _ in range(100):
            await client.socket.send("no json")
        heard = await client.event("system")
        assert await client.closed() == 1008
    assert heard.payload["message"] == "Too many messages per second"


async def test_a_silent_socket_is_closed_so_that_its_client_comes_back(topics: Topics) -> None:
    async with (
        running(topics, limits=RealtimeLimits(idle_s=0.1)) as gateway,
        phone(gateway.socket_url()) as client,
    ):
        assert await client.closed() == 1001, "realtime-js takes 1000 for the end"


async def test_a_frame_that_is_too_large_closes_the_socket_with_1009(client: Phone) -> None:
    await client.join("room")
    with contextlib.suppress(ConnectionClosed):  # before all of it was sent
        await client.socket.send("x" * 5_000_001)
    assert await client.closed() == 1009


async def test_nothing_is_left_of_a_socket_that_went_away(gateway: Gateway) -> None:
    async with phone(gateway.socket_url()) as client, phone(gateway.socket_url()) as watcher:
        await client.join("room", {"postgres_changes": [TASKS], "presence": {"enabled": True}})
        await watcher.join("room", {"presence": {"enabled": True}})
        await client.say("realtime:room", "presence", {"event": "track", "payload": {"a": 1}}, join_ref="1")
        await watcher.until(lambda heard: bool(_presences(heard, "joins")))
        client.socket.transport.abort()
        await watcher.until(lambda heard: bool(_presences(heard, "leaves")))
        assert (gateway.hub.channels, gateway.hub.pool.sockets) == (1, 1)
        assert not gateway.changes.subscribers


def _presences(heard: Heard, side: str) -> object:
    return heard.event == "presence_diff" and heard.payload[side]


async def test_plain_http_to_the_socket_is_no_error_of_ours(gateway: Gateway) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as http:
        reply = await http.get("/realtime/v1/websocket", params={"apikey": PUBLISHABLE})
    assert reply.status_code in (404, 405, 426)
