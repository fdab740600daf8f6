"""Servers of the Model Context Protocol as a source of tools, by the official SDK.

A worker process has one session with each server that it is configured with. It is opened by the first task that needs
it, shared by all, and opened anew after it broke. A call that was cut is never repeated here: nobody knows what it did.
The SDK is imported by the first call.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.tools.mcp_config import McpHttp, McpStdio
from agent_worker.tools.registry import ToolError

if TYPE_CHECKING:
    from agent_worker.tools.mcp_results import McpTool
    from agent_worker.tools.mcp_server import McpServer

Value = TypeVar("Value")


class McpServers:
    """The servers that a worker may use.

    Args:
        servers: By the name that definitions use.
        timeout_s: Limit of one call, connecting included.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: There are servers, and the SDK is not installed.
    """

    def __init__(
        self,
        servers: Mapping[str, McpHttp | McpStdio],
        *,
        timeout_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if servers and find_spec("mcp") is None:
            raise ConfigurationError(
                "AGENT_WORKER_PIPELINE_MCP_SERVERS is set · the package mcp is not installed · "
                "pip install 'agent-worker[pipelines]'"
            )
        self._configs = servers
        self._timeout_s = timeout_s
        self._clock = clock
        self._warming: set[asyncio.Task[None]] = set()

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a server of this name."""
        return name in self._configs

    async def tools(self, name: str) -> tuple[McpTool, ...]:
        """Return a server's tools, as it told them within the last minute.

        Raises:
            ToolError: It is away, or answers nonsense.
        """
        return await self._bounded(name, self._servers[name].tools())

    async def call(self, name: str, tool: str, arguments: JsonObject, *, idempotency_key: str) -> JsonValue:
        """Call a tool of a server. Cancelling the call tells the server so.

        Args:
            name: The server's.
            tool: As the server calls it.
            arguments: A JSON object.
            idempotency_key: Goes along in the call's `_meta`.

        Returns:
            See `read_result` in `mcp_results.py`.

        Raises:
            ToolError: The tool or the server refused, broke, or took too long.
        """
        return await self._bounded(name, self._servers[name].call(tool, arguments, idempotency_key))

    def warm(self, name: str) -> None:
        """Begin to connect, so that the first call need not wait; whether that works is seen then."""
        task = asyncio.create_task(self._warm(name), name=f"mcp-warm:{name}")
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def _warm(self, name: str) -> None:
        with contextlib.suppress(ToolError):
            await self.tools(name)

    async def close(self) -> None:
        """Close every session, and let no new one begin."""
        for task in self._warming:
            task.cancel()
        if "_servers" in self.__dict__:  # else nobody has called any
            await asyncio.gather(*(server.close() for server in self._servers.values()))

    @cached_property
    def _servers(self) -> dict[str, McpServer]:
        from agent_worker.tools.mcp_server import McpServer  # noqa: PLC0415 - the SDK: 1 s and 40 MiB

        return {
            name: McpServer(name, config, timeout_s=self._timeout_s, clock=self._clock)
            for name, config in self._configs.items()
        }

    async def _bounded(self, name: str, work: Coroutine[object, object, Value]) -> Value:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work
        except TimeoutError as error:
            self._servers[name].doubt()
            raise ToolError(f"The MCP server {name!r} took longer than {self._timeout_s:g} s.") from error
