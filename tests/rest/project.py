"""A project that stands in for Supabase: its gateway, PostgREST and Realtime on one port, over a real database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import deque
from collections.abc import Coroutine
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit

import psycopg
from websockets.asyncio.server import Server, serve

from tests.rest import postgrest
from tests.rest.keys import role_of
from tests.rest.phoenix import Phoenix
from tests.rest.postgrest import Reply

Result = TypeVar("Result")

HOST = "127.0.0.1"
RPC = "/rest/v1/rpc/"
_UNKNOWN_KEY = Reply(
    401,
    json.dumps(
        {
            "message": "Invalid API key",
            "hint": "Double check your Supabase `anon` or `service_role` API key.",
        }
    ),
)


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
        self._phoenix = Phoenix()
        self._sockets: Server | None = None
        self._idle: list[postgrest.Connection] = []
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
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
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
        for conn in self._idle:
            await conn.close()
        self._idle.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._talks.discard(talk)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        _, target, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("upgrade", "").lower() == "websocket":
            await self._bridge(head, target, reader, writer)
            return False
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = await self._reply(urlsplit(target).path, headers, body)
        payload = reply.body.encode()
        writer.write(
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
            f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
        )
        writer.write(payload)
        await writer.drain()
        return True

    async def _reply(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        self.calls.append(path.removeprefix(RPC))
        if self._is_stalled:
            await asyncio.Event().wait()
        if self._script:
            return self._script.popleft()
        role = role_of(headers.get("apikey", ""))
        if role is None or headers.get("authorization") != f"Bearer {headers['apikey']}":
            return _UNKNOWN_KEY
        if not path.startswith(RPC):
            return Reply(404, json.dumps({"message": "no Route matched with those values"}))
        conn = self._idle.pop() if self._idle else await self._connect()
        try:
            reply = await postgrest.call(conn, path.removeprefix(RPC), body, role)
        except BaseException:
            await conn.close()
            raise
        if conn.closed:
            return reply
        self._idle.append(conn)
        return reply

    async def _connect(self) -> postgrest.Connection:
        return await psycopg.AsyncConnection.connect(self._database_url, autocommit=True)

    async def _bridge(
        self, head: bytes, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        (key,) = parse_qs(urlsplit(target).query).get("apikey", [""])
        if not self._has_realtime or role_of(key) is None or self._sockets is None:
            status = "401 Unauthorized" if self._has_realtime else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
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


async def _pump(source: asyncio.StreamReader, drain: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65_536):
            drain.write(data)
            await drain.drain()
