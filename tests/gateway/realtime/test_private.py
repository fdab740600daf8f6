"""Private topics: the policies of realtime.messages decide, asked as the caller."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.topics import TopicRights, Topics
from agent_worker.domain.caller import Caller
from agent_worker.gateway.realtime.binding import Broadcast
from tests.gateway.realtime.phone import phone
from tests.gateway.realtime.server import PUBLISHABLE, SECRET, Gateway, running, token

ANN, BEN = str(uuid4()), str(uuid4())
PRIVATE = {"private": True, "presence": {"enabled": False}, "broadcast": {"ack": True}}

POLICIES = """
CREATE POLICY own ON realtime.messages FOR SELECT TO authenticated
  USING (realtime.topic() = 'user:' || (SELECT auth.uid()) AND extension IN ('broadcast', 'presence'));
CREATE POLICY hall_reads ON realtime.messages FOR SELECT TO authenticated
  USING (realtime.topic() LIKE 'hall%' AND extension = 'broadcast');
CREATE POLICY hall_speaks ON realtime.messages FOR INSERT TO authenticated
  WITH CHECK (realtime.topic() = 'hall' AND extension = 'broadcast');
CREATE POLICY breaks ON realtime.messages FOR SELECT TO authenticated
  USING (CASE WHEN realtime.topic() LIKE 'id:%' THEN substr(realtime.topic(), 4)::uuid = auth.uid() ELSE false END);
"""


def caller(user_id: str) -> Caller:
    return Caller("authenticated", {"sub": user_id, "role": "authenticated"})


@pytest.fixture
async def topics(db: Database, database_url: str) -> AsyncIterator[Topics]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(POLICIES)
    yield Topics(db)
    with psycopg.connect(database_url, autocommit=True) as conn:
        left = conn.execute("SELECT count(*) FROM realtime.messages WHERE event IS NULL").fetchone()
    assert left == (0,), "what was tried out is rolled back"


@pytest.fixture
async def private_gateway(topics: Topics) -> AsyncIterator[Gateway]:
    async with running(topics) as started:
        yield started


async def test_policies_are_asked_with_the_callers_claims_and_the_topic(topics: Topics) -> None:
    assert await topics.may_read(f"user:{ANN}", caller(ANN)) == TopicRights(
        reads_broadcast=True, reads_presence=True
    )
    assert await topics.may_read(f"user:{ANN}", caller(BEN)) == TopicRights()
    assert await topics.may_read("hall", caller(BEN)) == TopicRights(reads_broadcast=True)
    assert await topics.may_read(f"user:{ANN}", Caller("anon", {"role": "anon"})) == TopicRights()
    assert (await topics.may_read("anything", Caller("service_role", {}))).reads_any


async def test_writing_is_asked_for_each_kind_of_message(topics: Topics) -> None:
    assert await topics.may_write("hall", "broadcast", caller(ANN))
    assert not await topics.may_write("hall", "presence", caller(ANN))
    assert not await topics.may_write("hall 2", "broadcast", caller(ANN))
    assert not await topics.may_write("hall", "broadcast", Caller("anon", {"role": "anon"}))


async def test_a_policy_that_fails_lets_nobody_in(topics: Topics) -> None:
    assert (await topics.may_read(f"id:{ANN}", caller(ANN))).reads_any
    assert not (await topics.may_read("id:no uuid", caller(ANN))).reads_any
    assert not (await topics.may_read("'; DROP TABLE realtime.messages; --", caller(ANN))).reads_any


async def test_without_the_table_nobody_comes_in(topics: Topics, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE realtime.messages RENAME TO elsewhere")
        assert not (await topics.may_read("hall", caller(ANN))).reads_any
        assert not await topics.may_write("hall", "broadcast", caller(ANN))
        conn.execute("ALTER TABLE realtime.elsewhere RENAME TO messages")


async def test_a_stranger_is_refused_and_the_owner_hears(private_gateway: Gateway) -> None:
    topic = f"user:{ANN}"
    async with phone(private_gateway.socket_url()) as ann, phone(private_gateway.socket_url()) as ben:
        reply = await ben.join(topic, PRIVATE, access_token=token(BEN))
        assert reply["response"] == {
            "reason": f"Unauthorized: You do not have permissions to read from this Channel topic: {topic}"
        }
        assert (await ann.join(topic, PRIVATE, access_token=token(ANN)))["status"] == "ok"
        private_gateway.changes.store(Broadcast(topic, "delta", '{"n":1}', private=True, id="m1"))
        assert (await ann.hear()).payload["payload"] == {"n": 1}
        assert await ben.is_silent()


async def test_public_and_private_channels_of_one_name_are_two_rooms(private_gateway: Gateway) -> None:
    async with phone(private_gateway.socket_url()) as inside, phone(private_gateway.socket_url()) as outside:
        await inside.join("hall", PRIVATE, access_token=token(ANN))
        await outside.join("hall")
        await inside.say("realtime:hall", "broadcast", {"event": "x", "payload": {}}, join_ref="1")
        await outside.say("realtime:hall", "broadcast", {"event": "y", "payload": {}}, join_ref="1")
        assert await outside.is_silent()
        assert (await inside.hear()).event == "phx_reply"
        assert await inside.is_silent()


async def test_who_may_only_read_is_told_that_it_may_not_write(private_gateway: Gateway) -> None:
    async with phone(private_gateway.socket_url()) as client:
        await client.join("hall 2", PRIVATE, access_token=token(ANN))
        ref = await client.say("realtime:hall 2", "broadcast", {"event": "x", "payload": {}}, join_ref="1")
        reply = await client.reply(ref)
        assert reply["response"]["reason"].startswith("You do not have permissions to write")
        ref = await client.say("realtime:hall 2", "presence", {"event": "track", "payload": {}}, join_ref="1")
        assert (await client.reply(ref))["status"] == "error"


async def test_who_may_not_see_presence_hears_none(private_gateway: Gateway) -> None:
    async with phone(private_gateway.socket_url()) as client:
        config = {**PRIVATE, "presence": {"enabled": True}}
        await client.join("hall", config, access_token=token(ANN))
        assert await client.is_silent()


async def test_another_user_on_a_private_topic_is_shown_out(private_gateway: Gateway) -> None:
    topic = f"user:{ANN}"
    async with phone(private_gateway.socket_url()) as client:
        await client.join(topic, PRIVATE, access_token=token(ANN))
        await client.say(f"realtime:{topic}", "access_token", {"access_token": token(BEN)}, join_ref="1")
        heard = await client.event("system")
        assert heard.payload["message"].startswith("You no longer have permission to read")
        assert (await client.hear()).event == "phx_close"
    assert private_gateway.hub.channels == 0


async def test_http_asks_the_same_policies(private_gateway: Gateway) -> None:
    one = "/realtime/v1/api/broadcast/hall/events/x"
    messages = [
        {"topic": topic, "event": topic, "payload": {}, "private": True} for topic in ("hall 2", "hall")
    ]
    async with (
        phone(private_gateway.socket_url()) as client,
        httpx.AsyncClient(base_url=private_gateway.url, headers={"apikey": PUBLISHABLE}) as http,
    ):
        for topic in ("hall", "hall 2"):
            await client.join(topic, PRIVATE, access_token=token(ANN))
        bearer = {"Authorization": f"Bearer {token(BEN)}"}
        assert (await http.post(f"{one}?private=true", json={})).status_code == 403
        assert (await http.post(f"{one}?private=true", json={"n": 1}, headers=bearer)).status_code == 202
        batch = "/realtime/v1/api/broadcast"
        assert (await http.post(batch, json={"messages": messages}, headers=bearer)).status_code == 202
        heard = [(await client.hear()).payload["event"] for _ in range(2)]
    assert heard == ["x", "hall"], "what is not allowed is left out"


async def test_a_private_channel_may_ask_for_what_it_missed(
    private_gateway: Gateway, database_url: str
) -> None:
    began_ms = int(time.time() * 1000) - 60_000
    with psycopg.connect(database_url, autocommit=True) as conn:
        for n in range(30):
            conn.execute("SELECT realtime.send(%s::jsonb, 'e', 'hall', true)", [f'{{"n":{n}}}'])
        row = conn.execute(
            "SELECT id::text FROM realtime.messages ORDER BY inserted_at DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    replay = {"since": began_ms, "limit": 3}
    config = {**PRIVATE, "broadcast": {"replay": replay}}
    async with phone(private_gateway.socket_url(key=SECRET)) as client:
        await client.join("hall", config)
        heard = [(await client.hear()).payload for _ in range(3)]
        assert [payload["payload"]["n"] for payload in heard] == [27, 28, 29]
        assert all(payload["meta"]["replayed"] for payload in heard)
        private_gateway.changes.store(Broadcast("hall", "e", '{"n":29}', private=True, id=row[0]))
        assert await client.is_silent(), "what was replayed is not told again"


async def test_private_topics_wait_for_the_database(private_gateway: Gateway) -> None:
    away = Topics(Database("postgresql://127.0.0.1:1/away", acquire_timeout_s=0.1))
    private_gateway.hub.topics = away
    async with phone(private_gateway.socket_url()) as client:
        reply = await client.join("hall", PRIVATE, access_token=token(ANN))
        assert reply["response"]["reason"].startswith("UnableToConnectToProject: ")
