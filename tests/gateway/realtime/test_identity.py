"""Tokens: whose eyes a channel has, and until when."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import jwt
import pytest

from agent_worker.db.topics import Topics
from agent_worker.domain.caller import Caller
from agent_worker.gateway.realtime.limits import RealtimeLimits
from tests.gateway.realtime.phone import Phone, phone
from tests.gateway.realtime.server import PUBLISHABLE, SECRET, Gateway, running, token
from tests.waiting import eventually

TASKS = {"event": "*", "schema": "public", "table": "agent_task_requests"}
CONFIG = {"postgres_changes": [TASKS], "presence": {"enabled": False}}
ANN, BEN = str(uuid4()), str(uuid4())


async def joined(client: Phone, access_token: str | None) -> None:
    """Follow the tasks with somebody's eyes."""
    reply = await client.join("tasks", CONFIG, access_token=access_token)
    assert reply["status"] == "ok", reply
    await client.event("system")


def of(gateway: Gateway, user_id: str) -> int:
    """Tell how many channels see a row of this user."""
    return gateway.changes.emit("INSERT", {"id": 1, "user_id": user_id})


async def test_a_channel_has_the_eyes_of_its_token(gateway: Gateway, client: Phone) -> None:
    await joined(client, token(ANN))
    assert (of(gateway, ANN), of(gateway, BEN)) == (1, 0)


@pytest.mark.parametrize("access_token", [None, "", PUBLISHABLE, SECRET, "sb_anything"])
async def test_a_key_in_the_place_of_a_token_gives_the_eyes_of_the_socket(
    gateway: Gateway, client: Phone, access_token: str | None
) -> None:
    await joined(client, access_token)
    assert of(gateway, ANN) == 0, "not even with the secret key, which the socket did not show"


async def test_another_users_token_ends_what_the_first_one_saw(gateway: Gateway, client: Phone) -> None:
    await joined(client, token(ANN))
    await client.say("realtime:tasks", "access_token", {"access_token": token(BEN)}, join_ref="1", ref=None)
    assert await client.is_silent()
    assert (of(gateway, ANN), of(gateway, BEN)) == (0, 1)


async def test_signing_out_ends_what_the_user_saw(gateway: Gateway, client: Phone) -> None:
    await joined(client, token(ANN))
    await client.say("realtime:tasks", "access_token", {"access_token": PUBLISHABLE}, join_ref="1")
    assert await client.is_silent()
    assert of(gateway, ANN) == 0


async def test_the_same_users_next_token_changes_nothing(gateway: Gateway, client: Phone) -> None:
    await joined(client, token(ANN))
    await client.say("realtime:tasks", "access_token", {"access_token": token(ANN, jti="2")}, join_ref="1")
    assert await client.is_silent()
    assert of(gateway, ANN) == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("nonsense", "The token provided is not a valid JWT"),
        ("a.b.c", "Failed to validate JWT signature"),
        (jwt.encode({"role": "service_role"}, "x" * 40), "Failed to validate JWT signature"),
        (token(ANN, lasts_s=-60), "Token has expired"),
    ],
)
async def test_a_bad_token_ends_the_channel_with_its_reason(
    gateway: Gateway, client: Phone, bad: str, message: str
) -> None:
    await joined(client, token(ANN))
    await client.say("realtime:tasks", "access_token", {"access_token": bad}, join_ref="1")
    heard = await client.event("system")
    assert heard.payload == {"extension": "system", "status": "error", "message": message, "channel": "tasks"}
    assert (await client.hear()).event == "phx_close"
    assert of(gateway, ANN) == 0


async def test_a_channel_ends_with_its_token_and_not_with_the_one_before(topics: Topics) -> None:
    async with (
        running(topics, limits=RealtimeLimits(recheck_s=0.05)) as gateway,
        phone(gateway.socket_url()) as client,
    ):
        await joined(client, token(ANN, lasts_s=1_000))
        began = time.time()
        later = token(ANN, lasts_s=2_000)
        await client.say("realtime:tasks", "access_token", {"access_token": later}, join_ref="1")
        assert await client.is_silent()
        looks = _count_looks(gateway)
        gateway.hub.now = lambda: began + 1_500
        await eventually(lambda: asyncio.sleep(0, len(looks) >= 2))
        assert of(gateway, ANN) == 1

        gateway.hub.now = lambda: began + 2_010
        heard = await client.event("system")
        assert heard.payload["message"] in {f"Token has expired {n} seconds ago" for n in (9, 10)}
        assert (await client.hear()).event == "phx_close"
        assert of(gateway, ANN) == 0


def _count_looks(gateway: Gateway) -> list[str]:
    """Return a list that grows with each look at a token."""
    looks: list[str] = []
    admit = gateway.hub.admit_token

    async def counted(text: str) -> Caller:
        looks.append(text)
        return await admit(text)

    gateway.hub.admit_token = counted
    return looks


async def test_a_join_with_a_token_that_has_ended_is_refused(client: Phone) -> None:
    reply = await client.join("tasks", CONFIG, access_token=token(ANN, lasts_s=-60))
    assert reply["response"]["reason"] == "InvalidJWTToken: Token has expired"


async def test_a_socket_whose_key_has_an_end_gives_no_eyes_after_it(gateway: Gateway) -> None:
    class Later:
        def __call__(self) -> float:
            return 4_000_000_000.0

    url = gateway.socket_url()
    async with phone(url, additional_headers={"Authorization": f"Bearer {token(ANN)}"}) as client:
        await joined(client, None)
        gateway.hub.now = Later()
        reply = await client.join("more")
    assert reply["response"]["reason"].startswith("InvalidJWTToken: Token has expired ")


async def test_a_token_whose_key_was_withdrawn_ends_the_channel_before_its_time(topics: Topics) -> None:
    async with (
        running(topics, limits=RealtimeLimits(recheck_s=0.05)) as gateway,
        phone(gateway.socket_url()) as client,
    ):
        await joined(client, token(ANN))
        assert await client.is_silent()

        async def withdrawn(_: str) -> Caller:
            return await gateway.door.admit_token("a.b.c")

        gateway.hub.admit_token = withdrawn
        heard = await client.event("system")
    assert heard.payload["message"] == "Failed to validate JWT signature"
