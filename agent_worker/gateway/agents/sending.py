"""One open answer: what is to be said goes out at the pace of whoever reads it, and going away is noticed at once.

Whoever takes nothing any more is hung up on by the connection, see `agent_worker.gateway.wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agent_worker.gateway.agents.frames import HEARTBEAT


class EventStream(Response):
    """An answer that goes on until its pages end, its reader hangs up, its time is over, or the gateway stops.

    Args:
        pages: What is said, in pieces; the next one is asked for when the last one was taken. Closed at the end.
        headers: Of the answer.
        stopping: Set when the gateway stops; the answer then ends where it is.
        hung_up: Called when the reader has gone.
        counted: Entered while the stream is open.
        heartbeat_s: Longest silence.
        longest_s: When the answer ends where it is; None for never.
    """

    def __init__(
        self,
        pages: AsyncGenerator[bytes, None],
        *,
        headers: Mapping[str, str],
        stopping: asyncio.Event,
        hung_up: Callable[[], Awaitable[None]],
        counted: Callable[[], AbstractContextManager[None]],
        heartbeat_s: float,
        longest_s: float | None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers)
        self._pages = pages
        self._stopping = stopping
        self._hung_up = hung_up
        self._counted = counted
        self._heartbeat_s = heartbeat_s
        self._longest_s = longest_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with self._counted():
            has_reader = await self._speak_to(receive, send)
        if not has_reader:
            await self._hung_up()
            return
        await send({"type": "http.response.body", "body": b""})

    async def _speak_to(self, receive: Receive, send: Send) -> bool:
        """Answer; return whether somebody still listens at the end."""
        leaving = asyncio.create_task(_left(receive))
        stopping = asyncio.create_task(self._stopped())
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            return await self._speak(send, leaving, stopping)
        finally:
            leaving.cancel()
            stopping.cancel()
            await asyncio.wait({leaving, stopping})
            await self._pages.aclose()

    async def _stopped(self) -> None:
        """Return when there is no more to be said, whatever there is to say."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_s):
                await self._stopping.wait()

    async def _speak(self, send: Send, leaving: asyncio.Task[None], stopping: asyncio.Task[None]) -> bool:
        """Say everything; return whether somebody still listens."""
        page: asyncio.Task[bytes | None] | None = None
        try:
            while True:
                page = page or asyncio.create_task(anext(self._pages, None))
                await asyncio.wait(
                    {page, leaving, stopping},
                    timeout=self._heartbeat_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if leaving.done():
                    return False
                if stopping.done():
                    return True
                said: bytes | None = HEARTBEAT
                if page.done():
                    said, page = page.result(), None
                if said is None:
                    return True
                await send({"type": "http.response.body", "body": said, "more_body": True})
        finally:
            if page is not None:
                page.cancel()
                await asyncio.gather(page, return_exceptions=True)


async def _left(receive: Receive) -> None:
    """Return when whoever asked has hung up; the body has been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
