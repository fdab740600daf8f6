"""Realtime's side of a channel that follows a table: protocol version 1.0.0, as the Python client speaks it.

Changes do not come from the database: a test says what has changed, and those bindings hear of it whose event and
filter fit. Answers are worded as Realtime words them (`realtime_channel.ex`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed


@dataclass(frozen=True, slots=True)
class _Binding:
    id: int
    topic: str
    event: str
    filter: str

    def fits(self, event: str, record: dict[str, Any]) -> bool:
        column, _, condition = self.filter.partition("=")
        operator, _, wanted = condition.partition(".")
        value = record.get(column)
        if event != self.event or value is None:
            return False
        return str(value) == wanted if operator == "eq" else str(value) > wanted


class Phoenix:
    """Every socket that is open, and what each follows."""

    def __init__(self) -> None:
        self._bindings: dict[ServerConnection, list[_Binding]] = {}

    @property
    def subscribers(self) -> int:
        """Sockets that follow something."""
        return len(self._bindings)

    async def serve(self, socket: ServerConnection) -> None:
        """Speak with one socket until it closes."""
        try:
            async for text in socket:
                message = json.loads(text)
                match message["event"]:
                    case "phx_join":
                        await self._join(socket, message)
                    case "heartbeat" | "phx_leave":
                        await self._reply(socket, message, {})
        except ConnectionClosed:
            pass
        finally:
            self._bindings.pop(socket, None)

    async def tell(self, event: str, record: dict[str, Any]) -> int:
        """Send a change to every binding that it fits; returns how many sockets heard of it."""
        heard = 0
        for socket, bindings in list(self._bindings.items()):
            ids = [binding.id for binding in bindings if binding.fits(event, record)]
            if ids:
                heard += 1
                data = {
                    "schema": "public",
                    "table": "agent_task_requests",
                    "commit_timestamp": "2026-01-01T00:00:00.000Z",
                    "type": event,
                    "columns": [],
                    "errors": None,
                    "record": record,
                }
                await self._push(socket, bindings[0].topic, "postgres_changes", {"ids": ids, "data": data})
        return heard

    async def cut(self) -> None:
        """Break every connection off, as a crash does."""
        for socket in list(self._bindings):
            socket.transport.abort()

    async def _join(self, socket: ServerConnection, message: dict[str, Any]) -> None:
        wanted = message["payload"]["config"]["postgres_changes"]
        bindings = [
            _Binding(1000 + n, message["topic"], params["event"], params["filter"])
            for n, params in enumerate(wanted)
        ]
        echo = [{"id": binding.id, **params} for binding, params in zip(bindings, wanted, strict=True)]
        await self._reply(socket, message, {"postgres_changes": echo})
        self._bindings[socket] = bindings
        told = {
            "extension": "postgres_changes",
            "status": "ok",
            "message": "Subscribed to PostgreSQL",
            "channel": message["topic"].removeprefix("realtime:"),
        }
        await self._push(socket, message["topic"], "system", told)

    @staticmethod
    async def _reply(socket: ServerConnection, message: dict[str, Any], response: dict[str, Any]) -> None:
        answer = {
            "topic": message["topic"],
            "event": "phx_reply",
            "payload": {"status": "ok", "response": response},
            "ref": message["ref"],
        }
        await socket.send(json.dumps(answer))

    @staticmethod
    async def _push(socket: ServerConnection, topic: str, event: str, payload: dict[str, Any]) -> None:
        await socket.send(json.dumps({"topic": topic, "event": event, "payload": payload, "ref": None}))
