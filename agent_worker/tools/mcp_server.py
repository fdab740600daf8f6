"""One MCP server as a worker process sees it: a session that is replaced when it breaks, and the tools it told last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import cast

import anyio
import structlog
from mcp import Client, MCPError
from mcp.client import UnexpectedClaimedResult
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RequestParamsMeta,
    Tool,
)
from pydantic import ValidationError

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.tools.mcp_config import McpHttp, McpStdio
from agent_worker.tools.mcp_results import MAX_TOOLS, McpTool, read_failure, read_result, read_tool
from agent_worker.tools.mcp_session import McpSession
from agent_worker.tools.registry import ToolError

logger = structlog.get_logger(__name__)

TOOLS_KEPT_S = 60.0
"""A server is asked for its tools this seldom."""

PAUSE_S = 2.0
"""After a failure to connect, calls fail at once for so long."""

PROBE_TIMEOUT_S = 2.0
"""A session in which a call has timed out must answer within this, or half of a call's limit, or a new one takes its
place."""

KEY = "agent-worker/idempotency-key"
"""In a call's `_meta`: the same each time the call is repeated."""

_MOST_PAGES = 32
_LONGEST_REASON = 300
_WRONG = (ValidationError, RuntimeError, UnexpectedClaimedResult)
"""How the SDK says that an answer is not what the protocol, or the tool's own output schema, allows."""

_ENDED = (CONNECTION_CLOSED, INVALID_REQUEST)
"""The latter also says that the server has forgotten the session."""

_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError)


class McpServer:
    """A server.

    Args:
        name: As definitions call it.
        config: Where it is.
        timeout_s: Limit of one call, which the caller keeps.
        clock: Monotonic seconds.
    """

    def __init__(
        self, name: str, config: McpHttp | McpStdio, *, timeout_s: float, clock: Callable[[], float]
    ) -> None:
        self._probe_s = min(PROBE_TIMEOUT_S, timeout_s / 2)
        self._name = name
        self._config = config
        self._clock = clock
        self._connecting, self._listing = asyncio.Lock(), asyncio.Lock()
        self._sessions: list[McpSession] = []
        self._tools: tuple[McpTool, ...] = ()
        self._tools_until = self._paused_until = float("-inf")
        self._is_closed = False

    async def tools(self) -> tuple[McpTool, ...]:
        """Return its tools, as it told them within the last minute.

        Raises:
            ToolError: It is away, or answers nonsense.
        """
        async with self._listing:
            if self._clock() >= self._tools_until:
                session = await self._connected()
                with self._translated(session), session.used() as client:
                    self._tools = self._usable(await _list(client))
                self._tools_until = self._clock() + TOOLS_KEPT_S
            return self._tools

    async def call(self, tool: str, arguments: JsonObject, idempotency_key: str) -> JsonValue:
        """Call one of its tools.

        Raises:
            ToolError: The tool or the server refused or broke.
        """
        meta = cast("RequestParamsMeta", {KEY: idempotency_key})
        session = await self._connected()
        with self._translated(session), session.used() as client:
            result = await client.call_tool(tool, dict(arguments), meta=meta)
        if result.is_error:
            raise ToolError(read_failure(result))
        try:
            return read_result(result)
        except ValueError as error:
            raise ToolError(f"The result of {tool!r} {error}.", retryable=False) from error

    def doubt(self) -> None:
        """Take note that a call has timed out."""
        if self._sessions:
            self._sessions[-1].is_doubtful = True

    async def close(self) -> None:
        """Close its sessions; calls that still run fail."""
        self._is_closed = True
        await asyncio.gather(*(session.close() for session in self._sessions))

    async def _connected(self) -> McpSession:
        """Return a session that is open, as far as one can know."""
        async with self._connecting:
            newest = self._sessions[-1] if self._sessions else None
            if newest is not None and newest.is_open and await self._answers(newest):
                return newest
            if self._is_closed:
                raise ToolError(f"The MCP server {self._name!r} is not used any more: the worker stops.")
            if self._clock() < self._paused_until:
                raise ToolError(f"The MCP server {self._name!r} could not be reached a moment ago.")
            return await self._open()

    async def _answers(self, session: McpSession) -> bool:
        """Tell whether a session can be trusted; one in which a call has timed out is asked."""
        if not session.is_doubtful:
            return True
        try:
            async with asyncio.timeout(self._probe_s):
                with session.used() as client:
                    await client.list_tools(cache_mode="refresh")
        except (TimeoutError, MCPError, *_WRONG, *_BROKEN):
            session.retire()
            return False
        session.is_doubtful = False
        return True

    async def _open(self) -> McpSession:
        session = McpSession(self._name, self._config)
        self._sessions = [*(each for each in self._sessions if not each.is_over), session]
        try:
            await session.open()
        except ToolError:
            self._paused_until = self._clock() + PAUSE_S
            raise
        logger.info("mcp.connected", server=self._name)
        return session

    @contextlib.contextmanager
    def _translated(self, session: McpSession) -> Iterator[None]:
        try:
            yield
        except MCPError as error:
            if error.code in _ENDED:
                session.retire()
            raise self._refused(error) from error
        except _BROKEN as error:
            session.retire()
            raise ToolError(self._cut) from error
        except _WRONG as error:
            raise ToolError(
                f"The MCP server {self._name!r} answered with something that its schema does not allow.",
                retryable=False,
            ) from error

    @property
    def _cut(self) -> str:
        return f"The connection to the MCP server {self._name!r} broke."

    def _refused(self, error: MCPError) -> ToolError:
        match error.code:
            case _ if error.code == CONNECTION_CLOSED:
                return ToolError(self._cut)
            case _ if error.code == INVALID_PARAMS:
                reason = error.message[:_LONGEST_REASON]
                return ToolError(
                    f"The MCP server {self._name!r} refused the call: {reason}",
                    retryable=False,
                    code="invalid_arguments",
                )
            case _ if error.code == PARSE_ERROR:
                return ToolError(
                    f"The MCP server {self._name!r} answered with something that is no JSON, or too long.",
                    retryable=False,
                )
            case _:
                return ToolError(
                    f"The MCP server {self._name!r} failed (JSON-RPC error {error.code}).",
                    retryable=error.code != METHOD_NOT_FOUND,
                )

    def _usable(self, listed: list[Tool]) -> tuple[McpTool, ...]:
        found: dict[str, McpTool] = {}
        for tool in listed:
            try:
                usable = read_tool(self._name, tool)
            except ValueError as error:
                self._leave_out(tool, str(error))
                continue
            if usable.name in found or len(found) >= MAX_TOOLS:
                self._leave_out(tool, "another has its name, or there are too many")
                continue
            found[usable.name] = usable
        return tuple(found.values())

    def _leave_out(self, tool: Tool, reason: str) -> None:
        logger.warning("mcp.tool_left_out", server=self._name, tool=tool.name[:64], reason=reason)


async def _list(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools
