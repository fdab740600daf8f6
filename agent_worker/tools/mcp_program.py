"""MCP servers that are programs: one JSON message a line over standard input and output.

The SDK has a transport for this as well. It reads a line of any length into memory and copies all of it for each piece
that comes, which lets one long answer hold up every task of the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

from agent_worker.tools.mcp_config import McpStdio

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

PATIENCE_S = 2.0
"""From closing a program's input to SIGTERM, and from there to SIGKILL.

https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#shutdown"""


@contextlib.asynccontextmanager
async def run_program(
    config: McpStdio, *, max_line_bytes: int, on_end: Callable[[], None]
) -> AsyncGenerator[TransportStreams, None]:
    """Start a program for the block and end it after; what it writes to standard error goes where ours goes.

    Args:
        config: What to start. Of our environment it gets PATH, HOME and their like alone.
        max_line_bytes: Longest message; a longer one ends the connection.
        on_end: Called when it closes its output.

    Raises:
        OSError: It cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        config.command,
        *config.args,
        stdin=PIPE,
        stdout=PIPE,
        env=get_default_environment()
        | {name: value.get_secret_value() for name, value in config.env.items()},
        limit=max_line_bytes,
        start_new_session=True,  # so that Ctrl-C is ours to handle, and its children can be ended with it
    )
    into, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, out = anyio.create_memory_object_stream[SessionMessage](0)
    tasks = [
        asyncio.create_task(_read(process, into, on_end), name="mcp-read"),
        asyncio.create_task(_write(process, out), name="mcp-write"),
    ]
    try:
        yield read, write
    finally:
        for stream in (read, write, into, out):
            stream.close()
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(
    process: Process, into: anyio.abc.ObjectSendStream[SessionMessage | Exception], on_end: Callable[[], None]
) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe
    # A line that is too long is a ValueError.
    with contextlib.suppress(ValueError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        while line := await process.stdout.readline():
            await into.send(_message(line))
    await into.aclose()
    on_end()


def _message(line: bytes) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _write(process: Process, out: anyio.abc.ObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe
    with contextlib.suppress(OSError, anyio.ClosedResourceError):
        async for item in out:
            text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
            process.stdin.write(f"{text}\n".encode())
            await process.stdin.drain()


async def _end(process: Process) -> None:
    """Let a program leave by itself, or else make it; also when the waiting is cancelled."""
    assert process.stdin is not None  # noqa: S101 - a pipe
    process.stdin.close()
    try:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if await _has_ended(process):
                return
            _signal(process, sign)
        await _has_ended(process)
    finally:
        _signal(process, signal.SIGKILL)


async def _has_ended(process: Process) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
    return process.returncode is not None


def _signal(process: Process, sign: signal.Signals) -> None:
    """Signal the program and what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)
