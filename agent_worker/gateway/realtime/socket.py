"""One WebSocket: a task that reads, and a session that answers."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from agent_worker.domain.caller import Caller
from agent_worker.gateway.realtime.frames import Version
from agent_worker.gateway.realtime.hub import Hub
from agent_worker.gateway.realtime.outbox import GOING_AWAY
from agent_worker.gateway.realtime.session import Session
from agent_worker.gateway.realtime.wire import wire_of

logger = structlog.get_logger(__name__)

INTERNAL_ERROR = 1011

_GONE = (WebSocketDisconnect, OSError)
"""Somebody who went away while we were writing."""


async def serve(websocket: WebSocket, hub: Hub, *, version: Version, caller: Caller) -> None:
    """Speak with a client until one side ends it; whatever it sends, this returns.

    Args:
        websocket: Not accepted yet.
        hub: What all sockets share.
        version: Version of the protocol.
        caller: Whom its API key stands for.
    """
    with contextlib.suppress(*_GONE):
        await websocket.accept()
        wire = wire_of(websocket.scope)
        tasks = asyncio.TaskGroup()
        session = Session(hub, wire, version=version, caller=caller, create_task=tasks.create_task)
        wire.on_room = session.outbox.flush
        hub.pool.sockets += 1
        try:
            async with tasks:
                await _converse(websocket, session, hub, tasks)
        finally:
            hub.pool.sockets -= 1
            wire.on_room = None
            session.dissolve()


async def _converse(websocket: WebSocket, session: Session, hub: Hub, tasks: asyncio.TaskGroup) -> None:
    outbox = session.outbox
    reading = tasks.create_task(_read(websocket, session, idle_s=hub.limits.idle_s))
    try:
        ends: set[asyncio.Future[Any]] = {reading, outbox.over}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        session.close()
        outbox.close(GOING_AWAY)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hub.limits.farewell_s):
                await outbox.written()
    finally:
        session.close()
        outbox.close(GOING_AWAY)
        outbox.clear()
        reading.cancel()
    with contextlib.suppress(
        *_GONE, TimeoutError, RuntimeError
    ):  # Starlette's for a socket that is closed already
        async with asyncio.timeout(hub.limits.farewell_s):
            await websocket.close(*outbox.over.result())


async def _read(websocket: WebSocket, session: Session, *, idle_s: float) -> None:
    while not session.outbox.over.done():
        try:
            async with asyncio.timeout(idle_s):
                message = await websocket.receive()
        except TimeoutError:
            session.outbox.close(GOING_AWAY, "No heartbeat")
            return
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        try:
            await session.receive(message["bytes"] if text is None else text)
        except Exception:
            logger.exception("realtime.message_failed")
            session.outbox.close(INTERNAL_ERROR, "Something went wrong here")
