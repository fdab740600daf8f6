"""Just enough HTTP/1.1 for a scripted server: read a request, write a whole or a chunked answer, notice who leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus

from agent_worker.domain.json import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it came in; header names are in lower case, `body` is {} when there was none.

    A form becomes `{name: text}`, with `{filename, type, bytes}` for files; a name that comes twice becomes a list.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: JsonObject


class ClientLeft(ConnectionError):
    """The client closed the connection before the answer was complete."""


class WatchfulReader(asyncio.StreamReader):
    """A reader that tells at once when the other side has gone, even while nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        """Note that the other side has closed its half."""
        super().feed_eof()
        self.gone.set()

    def set_exception(self, exc: Exception) -> None:
        """Note that the connection broke."""
        super().set_exception(exc)
        self.gone.set()


class Connection:
    """One HTTP/1.1 connection: reads requests, writes whole or chunked answers."""

    def __init__(self, reader: WatchfulReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read_request(self) -> RecordedRequest | None:
        """Return the next request, or None when the client closed the connection between two."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return RecordedRequest(method, target.partition("?")[0], headers, _parsed(headers, body))

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the client does."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._reader.gone.wait()
        except TimeoutError:
            return
        raise ClientLeft

    async def wait_gone(self) -> None:
        """Wait for the client to leave."""
        await self._reader.gone.wait()
        raise ClientLeft

    async def send_json(
        self, status: int, body: JsonObject, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer and keep the connection."""
        payload = json.dumps(body).encode()
        self._head(
            status,
            {"content-type": "application/json", "content-length": str(len(payload)), **(headers or {})},
        )
        self._writer.write(payload)
        await self._drain()

    async def begin_stream(self) -> None:
        """Begin an event stream in chunked transfer coding, so that a cut can be told from an end."""
        self._head(
            200,
            {
                "content-type": "text/event-stream",
                "cache-control": "no-cache",
                "transfer-encoding": "chunked",
            },
        )
        await self._drain()

    async def send_event(self, data: str) -> None:
        """Send one `data:` line as one chunk."""
        frame = f"data: {data}\n\n".encode()
        self._writer.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        await self._drain()

    async def end_stream(self) -> None:
        """End the chunked body and keep the connection."""
        self._writer.write(b"0\r\n\r\n")
        await self._drain()

    def cut(self) -> None:
        """Close the connection where it stands, without the end of the body."""
        self._writer.close()
        raise ConnectionAbortedError

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the client was quicker
            await self._writer.wait_closed()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def _drain(self) -> None:
        if self._reader.gone.is_set():
            raise ClientLeft
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ClientLeft from error


def _parsed(headers: Mapping[str, str], body: bytes) -> JsonObject:
    kind = headers.get("content-type", "")
    if not kind.startswith("multipart/form-data"):
        parsed: JsonObject = json.loads(body) if body else {}
        return parsed
    form = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    found: dict[str, list[JsonValue]] = {}
    for part in form.iter_parts():
        name = str(part.get_param("name", header="content-disposition")).removesuffix("[]")
        found.setdefault(name, []).append(_field(part))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _field(part: Message) -> JsonValue:
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    if (filename := part.get_filename()) is None:
        return data.decode()
    return {"filename": filename, "type": part.get_content_type(), "bytes": len(data)}
