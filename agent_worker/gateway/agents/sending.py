"""One open answer: what is to be said goes out at the pace of whoever reads it, and going away is noticed at once.

Whoever takes nothing any more is hung up on by the connection, see `agent_worker.gateway.wire`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
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
        self._said_at = 0.0

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with self._counted():
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            self._said_at = time.monotonic()
            has_reader = await self._speak_to(receive, send)
        if not has_reader:
            await self._hung_up()
            return
        await send({"type": "http.response.body", "body": b""})

    async def _speak_to(self, receive: Receive, send: Send) -> bool:
        """Answer; return whether somebody still listens at the end."""
        leaving = asyncio.create_task(_left(receive))
        stopping = asyncio.create_task(self._stopped())
        speaking = asyncio.create_task(self._speak(send))
        beating = asyncio.create_task(self._beat(send))
        try:
            await asyncio.wait({speaking, leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                return False
            if speaking.done():
                speaking.result()
            return True
        finally:
            tasks = (leaving, stopping, speaking, beating)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._pages.aclose()

    async def _stopped(self) -> None:
        """Return when there is no more to be said, whatever there is to say."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._longest_s):
                await self._stopping.wait()

    async def _speak(self, send: Send) -> None:
        """Say everything: piece by piece, with no task for each, for there are thousands of them a second."""
        async for said in self._pages:
            await send({"type": "http.response.body", "body": said, "more_body": True})
            self._said_at = time.monotonic()

    async def _beat(self, send: Send) -> None:
        """Break each silence."""
        while True:
            left_s = self._said_at + self._heartbeat_s - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            else:
                await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
                self._said_at = time.monotonic()


async def _left(receive: Receive) -> None:
    """Return when whoever asked has hung up; the body has been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
