"""A project that stands in for Supabase: our own gateway with whatever may go wrong before it.

Tables and functions are served by the real gateway over a real database. What a real server cannot show on demand is
added here: answers from a script, silence, an outage; and Realtime's side of a channel, where a test says what changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, serve

from agent_worker.db.access.access import Access
from agent_worker.domain.errors import GatewayError
from tests.gateway.door import door
from tests.gateway.serving import gateway_database, serving, started
from tests.rest.phoenix import Phoenix

Result = TypeVar("Result")

HOST = "127.0.0.1"
RPC = "/rest/v1/rpc/"
END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer from a script."""

    status: int
    body: str


def error(status: int, code: str, message: str) -> Reply:
    """Return an error with the four keys that PostgREST's have."""
    return Reply(status, json.dumps({"code": code, "details": None, "hint": None, "message": message}))


class StandIn:
    """Listens on the loopback interface, in a thread of its own, so that worker processes can use it as well.

    Args:
        database_url: The project's database, as a superuser.
        has_realtime: Whether Realtime answers; without it, workers poll.
    """

    def __init__(self, database_url: str, *, has_realtime: bool = False) -> None:
        self._database_url = database_url
        self._has_realtime = has_realtime
        self._port = 0
        self._server: asyncio.Server | None = None
        self._gateway = contextlib.AsyncExitStack()
        self._gateway_port = 0
        self._phoenix = Phoenix()
        self._sockets: Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self._script: deque[Reply] = deque()
        self._is_stalled = False
        self.calls: list[str] = []
        """Names of the functions that were called, refused calls too."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="project", daemon=True)

    @property
    def url(self) -> str:
        """What SUPABASE_URL is set to."""
        return f"http://{HOST}:{self._port}"

    @property
    def subscribers(self) -> int:
        """Sockets that follow the table of tasks."""
        return self._phoenix.subscribers

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._serve())
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self._run(self._gateway.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._run(self._up())

    def down(self) -> None:
        """Stop listening and cut every connection; twice is fine."""
        self._run(self._down())

    def stall(self) -> None:
        """Answer no more, and close nothing either: what a dead machine behind a living firewall looks like."""
        self._is_stalled = True

    def answer_next(self, *replies: Reply) -> None:
        """Have the next calls answered so, whatever they ask for."""
        self._script.extend(replies)

    def tell(self, event: str, record: dict[str, Any]) -> int:
        """Have Realtime send a change of a row; returns how many sockets heard of it."""
        return self._run(self._phoenix.tell(event, record))

    def forget_realtime(self) -> None:
        """Have no Realtime from now on."""
        self._has_realtime = False

    def cut_sockets(self) -> None:
        """Break off what Realtime has open."""
        self._run(self._phoenix.cut())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _serve(self) -> None:
        db = await self._gateway.enter_async_context(gateway_database(self._database_url, max_size=8))
        access = await self._gateway.enter_async_context(started(Access(db)))
        url = await self._gateway.enter_async_context(serving(access))
        self._gateway_port = urlsplit(url).port or 0

    async def _up(self) -> None:
        self._sockets = await serve(self._phoenix.serve, HOST, 0)
        self._server = await asyncio.start_server(self._accept, HOST, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _down(self) -> None:
        server, self._server = self._server, None
        sockets, self._sockets = self._sockets, None
        if server is None or sockets is None:
            return
        server.close()
        sockets.close()
        for talk in list(self._talks):
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        await sockets.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            behind, ahead = await asyncio.open_connection(HOST, self._gateway_port)
        except BaseException:  # cut off meanwhile
            self._talks.discard(talk)
            writer.close()
            raise
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer, behind, ahead):
                    pass
        finally:
            self._talks.discard(talk)
            writer.close()
            ahead.close()

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        behind: asyncio.StreamReader,
        ahead: asyncio.StreamWriter,
    ) -> bool:
        head = await reader.readuntil(END_OF_HEAD)
        target, headers = _parsed(head)
        if headers.get("upgrade", "").lower() == "websocket":
            await self._bridge(head, target, reader, writer)
            return False
        request = head + await reader.readexactly(int(headers.get("content-length", "0")))
        self.calls.append(urlsplit(target).path.removeprefix(RPC))
        if self._is_stalled:
            await asyncio.Event().wait()
        if self._script:
            reply = self._script.popleft()
            writer.write(_head(f"{reply.status} {HTTPStatus(reply.status).phrase}", len(reply.body.encode())))
            writer.write(reply.body.encode())
        else:
            ahead.write(request)
            head = await behind.readuntil(END_OF_HEAD)
            _, headers = _parsed(head)
            writer.write(head + await behind.readexactly(int(headers.get("content-length", "0"))))
        await writer.drain()
        return True

    async def _bridge(
        self, head: bytes, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        (key,) = parse_qs(urlsplit(target).query).get("apikey", [""])
        if not self._has_realtime or not await _is_known(key) or self._sockets is None:
            writer.write(_head("401 Unauthorized" if self._has_realtime else "404 Not Found", 0))
            await writer.drain()
            return
        port = self._sockets.sockets[0].getsockname()[1]
        behind, ahead = await asyncio.open_connection(HOST, port)
        ahead.write(head)
        ways = [asyncio.ensure_future(_pump(reader, ahead)), asyncio.ensure_future(_pump(behind, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            ahead.close()


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    """Return the second word of a first line, and the headers."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first.split(" ", 2)[1], headers


def _head(status: str, length: int) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


async def _is_known(key: str) -> bool:
    try:
        await door().admit(apikey=key, bearer=None)
    except GatewayError:
        return False
    return True


async def _pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65_536):
            drain.write(data)
            await drain.drain()
