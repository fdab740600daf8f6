"""A client that speaks the protocol by hand and hides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Heard:
    """A message from the server; binary ones of kind 4 are read as realtime-js reads them."""

    topic: str
    event: str
    payload: Any
    ref: Any = None
    join_ref: Any = None


class Phone:
    """One socket.

    Args:
        socket: Connected.
        is_v2: Whether it speaks version 2.
    """

    def __init__(self, socket: ClientConnection, *, is_v2: bool) -> None:
        self.socket = socket
        self._is_v2 = is_v2
        self._ref = 0

    async def say(
        self, topic: str, event: str, payload: Any, *, join_ref: str | None = None, ref: str | None = ""
    ) -> str | None:
        """Send a message and return its number; `ref=None` asks for no reply."""
        if ref == "":
            self._ref += 1
            ref = str(self._ref)
        if self._is_v2:
            await self.socket.send(json.dumps([join_ref, ref, topic, event, payload]))
        else:
            message = {"topic": topic, "event": event, "payload": payload, "ref": ref, "join_ref": join_ref}
            await self.socket.send(json.dumps(message))
        return ref

    async def shout(
        self, topic: str, event: str, body: bytes, *, is_json: bool, join_ref: str = "1", ref: str = "b1"
    ) -> None:
        """Send a binary frame of kind 3."""
        fields = [part.encode() for part in (join_ref, ref, topic, event, "")]
        head = bytes((3, *(len(field) for field in fields), int(is_json)))
        await self.socket.send(head + b"".join(fields) + body)

    async def hear(self) -> Heard:
        """Return the next message."""
        async with asyncio.timeout(PATIENCE_S):
            return parse(await self.socket.recv())

    async def until(self, wanted: Callable[[Heard], bool]) -> Heard:
        """Return the next message that fits; what comes before is dropped."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                heard = parse(await self.socket.recv())
                if wanted(heard):
                    return heard

    async def event(self, event: str) -> Heard:
        """Return the next message with this event; what comes before is dropped."""
        return await self.until(lambda heard: heard.event == event)

    async def reply(self, ref: str | None) -> dict[str, Any]:
        """Return the payload of the reply to a message."""
        heard = await self.until(lambda heard: heard.event == "phx_reply" and heard.ref == ref)
        payload: dict[str, Any] = heard.payload
        return payload

    async def join(self, topic: str, config: Any = None, **payload: Any) -> dict[str, Any]:
        """Join `realtime:TOPIC` and return the reply."""
        self._ref += 1
        ref = str(self._ref)
        body = {"config": {"presence": {"enabled": False}} if config is None else config, **payload}
        await self.say(f"realtime:{topic}", "phx_join", body, join_ref=ref, ref=ref)
        return await self.reply(ref)

    async def closed(self) -> int:
        """Return the code with which the server closes the socket; what comes before is dropped."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def is_silent(self) -> bool:
        """Whether nothing but the answer to a heartbeat comes next: all that was said before has been dealt with."""
        ref = await self.say("phoenix", "heartbeat", {})
        heard = await self.hear()
        return heard.event == "phx_reply" and heard.ref == ref


def parse(frame: str | bytes) -> Heard:
    """Read a frame as a client of either version does."""
    if isinstance(frame, bytes):
        assert frame[0] == 4, "the one kind of binary frame that clients know"
        topic_size, event_size, meta_size, encoding = frame[1:5]
        at = 5
        topic, at = frame[at : at + topic_size].decode(), at + topic_size
        event, at = frame[at : at + event_size].decode(), at + event_size
        assert meta_size == 0
        body: Any = json.loads(frame[at:]) if encoding == 1 else frame[at:]
        return Heard(topic, "broadcast", {"type": "broadcast", "event": event, "payload": body})
    message = json.loads(frame)
    if isinstance(message, list):
        join_ref, ref, topic, event, payload = message
        return Heard(topic, event, payload, ref, join_ref)
    assert message.keys() == {"topic", "event", "payload", "ref"}
    return Heard(message["topic"], message["event"], message["payload"], message["ref"])


@contextlib.asynccontextmanager
async def phone(url: str, **options: Any) -> AsyncIterator[Phone]:
    """Connect; the version is the URL's."""
    async with connect(url, compression=None, max_size=None, **options) as socket:
        yield Phone(socket, is_v2="vsn=2" in url)
