"""One connection to an MCP server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import structlog
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from agent_worker.domain.loopback import is_loopback
from agent_worker.tools.mcp_config import McpHttp, McpStdio
from agent_worker.tools.mcp_program import run_program
from agent_worker.tools.registry import MAX_RESULT_BYTES, ToolError

if TYPE_CHECKING:
    from mcp.client import Transport
    from mcp.client._transport import TransportStreams

logger = structlog.get_logger(__name__)

OPEN_TIMEOUT_S = 30.0
"""To start a program or connect, and agree on a version of the protocol."""

CLOSE_TIMEOUT_S = 10.0
"""To say goodbye; a program has two seconds to leave, and two more after SIGTERM."""

SILENCE_S = 3600.0
"""Over HTTP; calls have limits of their own, which are shorter."""

_MOST_BYTES = 4 * MAX_RESULT_BYTES
"""Longest message: a result comes twice in it, as text and as data, with quotes escaped."""

# The SDK logs what it cannot read, whole, and addresses with their secrets.
logging.getLogger("mcp").setLevel(logging.CRITICAL)


class McpSession:
    """A connection that a task of its own holds, for the SDK's scopes are left by the task that entered them.

    Args:
        name: The server's.
        config: Where it is.
    """

    def __init__(self, name: str, config: McpHttp | McpStdio) -> None:
        self._name = name
        self._config = config
        self._leave = asyncio.Event()
        self._client: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._refusal: int | None = None
        self._holder: asyncio.Task[None] | None = None
        self._users = 0
        self._is_retired = False
        self.is_doubtful = False
        """Whether a call has timed out since the server last answered."""

    @property
    def is_open(self) -> bool:
        """Whether new calls can be made: neither side has left."""
        return self._client.done() and not self._leave.is_set() and not self._is_retired

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return self._holder is None or self._holder.done()

    async def open(self) -> None:
        """Connect.

        Raises:
            ToolError: It cannot be reached, or does not speak the protocol.
        """
        self._holder = asyncio.create_task(self._hold(), name=f"mcp:{self._name}")
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await asyncio.shield(self._client)
        except TimeoutError as error:
            await self.close()
            raise ToolError(f"The MCP server {self._name!r} did not answer.") from error
        except BaseException:
            await self.close()
            raise

    @contextlib.contextmanager
    def used(self) -> Iterator[Client]:
        """Lend the SDK's client of an open session for one call."""
        self._users += 1
        try:
            yield self._client.result()
        finally:
            self._users -= 1
            self._leave_when_unused()

    def retire(self) -> None:
        """Take no more calls, and close when those that run have ended."""
        self._is_retired = True
        self._leave_when_unused()

    def _leave_when_unused(self) -> None:
        if self._is_retired and self._users == 0:
            self._leave.set()

    async def close(self) -> None:
        """Close, and wait for it; twice is fine."""
        self._leave.set()
        holder = self._holder
        if holder is None:
            return
        await asyncio.wait([holder], timeout=CLOSE_TIMEOUT_S if self._client.done() else 0.0)
        if not holder.done():
            holder.cancel()
            await asyncio.wait([holder], timeout=CLOSE_TIMEOUT_S)

    async def _hold(self) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                client = await stack.enter_async_context(Client(self._transport()))
                self._client.set_result(client)
                await self._leave.wait()
        except Exception as error:  # noqa: BLE001 - the SDK raises groups of whatever its transports raise
            self._fail(error)
        finally:
            self._leave.set()
            self._settle(ToolError(f"The MCP server {self._name!r} was left before it had answered."))

    def _fail(self, error: Exception) -> None:
        reason = f"HTTP {self._refusal}" if self._refusal is not None else _innermost(error)
        # Names alone: messages may hold addresses and what was sent.
        logger.warning("mcp.failed", server=self._name, reason=reason, was_open=self._client.done())
        self._settle(ToolError(f"The MCP server {self._name!r} cannot be reached ({reason})."))

    def _settle(self, failure: ToolError) -> None:
        """Tell whoever waits for the session that there will be none."""
        if not self._client.done():
            self._client.set_exception(failure)
            self._client.exception()  # seen, also when nobody waits any more

    def _transport(self) -> Transport:
        match self._config:
            case McpStdio() as config:
                return run_program(config, max_line_bytes=_MOST_BYTES, on_end=self._leave.set)
            case McpHttp() as config:
                headers = {name: value.get_secret_value() for name, value in config.headers.items()}
                return _http(config.url, headers, self._note)

    def _note(self, status: int) -> None:
        self._refusal = status if status in {401, 403} or status >= 500 else None  # noqa: PLR2004 - HTTP's own


@contextlib.asynccontextmanager
async def _http(
    url: str, headers: dict[str, str], note: Callable[[int], None]
) -> AsyncGenerator[TransportStreams, None]:
    async def look(response: httpx2.Response) -> None:
        note(response.status_code)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous client's
            response.stream = _Bounded(response.stream)

    async with (
        httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(OPEN_TIMEOUT_S, read=SILENCE_S),
            trust_env=not is_loopback(urlsplit(url).hostname),
            event_hooks={"response": [look]},
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=_MOST_BYTES) as streams,
    ):
        yield streams


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, which may be just so long."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > _MOST_BYTES:
                # Of the kind that the SDK makes the call's error; another would end the session.
                raise httpx2.StreamError("too long")
            yield piece

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._stream.aclose()


def _innermost(error: BaseException) -> str:
    """Name the first thing that went wrong."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__
