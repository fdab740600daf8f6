"""Whatever a client sends, its socket's tasks live on, the others notice nothing, and nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from agent_worker.db.topics import Topics
from agent_worker.gateway.realtime.limits import RealtimeLimits
from tests.gateway.realtime.phone import phone
from tests.gateway.realtime.server import PUBLISHABLE, Gateway, running
from tests.waiting import eventually

LIMITS = RealtimeLimits(messages_per_s=100_000, joins_per_s=100_000, channels=5)

TOPICS = st.sampled_from(("realtime:a", "realtime:b", "realtime:", "phoenix", "x")) | st.text(max_size=10)
EVENTS = st.sampled_from(
    ("phx_join", "phx_join", "phx_leave", "heartbeat", "broadcast", "presence", "access_token")
) | st.text(max_size=10)
REFS = st.none() | st.integers(0, 5).map(str) | st.integers(0, 5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ENTRY = st.dictionaries(st.sampled_from(("event", "schema", "table", "filter", "select", "id")), JSON)
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "broadcast": st.fixed_dictionaries(
            {}, optional={"ack": st.booleans() | JSON, "self": st.booleans() | JSON, "replay": JSON}
        ),
        "presence": st.fixed_dictionaries(
            {}, optional={"key": st.text() | JSON, "enabled": st.booleans() | JSON}
        ),
        "postgres_changes": st.lists(ENTRY | JSON, max_size=3) | JSON,
        "private": st.just(value=False) | JSON,
        "postgres_changes_options": st.fixed_dictionaries(
            {}, optional={"wait": st.booleans(), "timeout": JSON}
        ),
    },
)
PAYLOADS = (
    st.fixed_dictionaries({"config": CONFIG | JSON}, optional={"access_token": st.text() | JSON})
    | st.fixed_dictionaries(
        {"event": st.sampled_from(("track", "untrack", "x")) | JSON}, optional={"payload": JSON}
    )
    | st.fixed_dictionaries({"access_token": st.text() | JSON | st.just(PUBLISHABLE)})
    | JSON
)
V2 = st.tuples(REFS | JSON, REFS | JSON, TOPICS | JSON, EVENTS | JSON, PAYLOADS).map(json.dumps)
V1 = st.fixed_dictionaries(
    {}, optional={"topic": TOPICS, "event": EVENTS, "payload": PAYLOADS, "ref": REFS, "join_ref": REFS}
).map(json.dumps)
BINARY = st.binary(max_size=60) | st.builds(
    lambda head, rest: b"\x03" + head + rest,
    st.lists(st.integers(0, 12), min_size=6, max_size=6).map(bytes),
    st.sampled_from((b"11realtime:a", b"")).flatmap(
        lambda start: st.binary(max_size=60).map(lambda rest: start + rest)
    ),
)
SAID: list[tuple[str, st.SearchStrategy[str | bytes]]] = [
    ("2.0.0", st.text(max_size=40) | V2 | V2 | V2 | BINARY),
    ("1.0.0", st.text(max_size=40) | V1 | V1 | V1 | BINARY),
]


@pytest.fixture
def started(topics: Topics) -> Iterator[tuple[asyncio.Runner, Gateway]]:
    """A gateway in a loop that outlives the many examples of one test."""
    with asyncio.Runner() as runner:
        context = running(topics, limits=LIMITS)
        gateway = runner.run(context.__aenter__())
        yield runner, gateway
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize(("vsn", "said"), SAID, ids=["version 2", "version 1"])
def test_anything_said_leaves_the_gateway_whole(
    started: tuple[asyncio.Runner, Gateway],
    vsn: str,
    said: st.SearchStrategy[str | bytes],
    capsys: pytest.CaptureFixture[str],
) -> None:
    runner, gateway = started

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(said, max_size=12))
    def example(frames: list[str | bytes]) -> None:
        runner.run(_exchange(gateway, vsn, frames))

    example()
    assert "failed" not in capsys.readouterr().out, "nothing ended in an unexpected error"


async def _exchange(gateway: Gateway, vsn: str, frames: list[str | bytes]) -> None:
    async with phone(gateway.socket_url(vsn=vsn)) as client:
        for frame in frames:
            await client.socket.send(frame)
        ref = await client.say("phoenix", "heartbeat", {}, ref="the last")
        await client.until(lambda heard: heard.topic == "phoenix" and heard.ref == ref)
    await _is_clean(gateway)


async def _is_clean(gateway: Gateway) -> None:
    await eventually(lambda: asyncio.sleep(0, gateway.hub.pool.sockets == 0))
    assert (gateway.hub.channels, len(gateway.changes.subscribers)) == (0, 0)
    assert gateway.hub.pool.waiting_bytes == 0


async def test_a_hundred_sockets_that_come_and_go_leave_nothing(gateway: Gateway) -> None:
    async def visit(n: int) -> None:
        try:
            async with phone(gateway.socket_url()) as client:
                config: dict[str, Any] = {"postgres_changes": [{"event": "*", "schema": "public"}]}
                await client.say("realtime:x", "phx_join", {"config": config}, join_ref="1", ref="1")
                if n % 3 == 0:
                    client.socket.transport.abort()
                elif n % 3 == 1:
                    await client.reply("1")
        except ConnectionClosed:
            pass

    await asyncio.gather(*(visit(n) for n in range(100)))
    await _is_clean(gateway)
