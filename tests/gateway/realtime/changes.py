"""Database changes that a test makes up: the source that a hub asks, without a database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.gateway.realtime.binding import Binding, BindingRefused, Broadcast, Subscriber


class MemoryChanges:
    """Delivers what `emit` is given to the bindings it fits; a row with a `user_id` is seen by that user alone.

    Attributes:
        open: Cleared, it lets subscriptions wait.
        outages: How many subscriptions find the database away.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.outages = 0
        self.subscribers: dict[Subscriber, list[Binding]] = {}
        self._on_broadcast: Callable[[Broadcast], None] = lambda _: None

    async def add(self, subscriber: Subscriber, bindings: Sequence[Binding]) -> None:
        if self.outages:
            self.outages -= 1
            raise DatabaseUnavailable("away")
        for binding in bindings:
            if binding.table == "missing":
                raise BindingRefused("Unable to subscribe to changes with given parameters.")
        self.subscribers[subscriber] = list(bindings)
        await self.open.wait()

    def remove(self, subscriber: Subscriber) -> None:
        self.subscribers.pop(subscriber, None)

    def broadcasts(self, on_message: Callable[[Broadcast], None]) -> None:
        self._on_broadcast = on_message

    def store(self, message: Broadcast) -> None:
        """Tell of a row in realtime.messages."""
        self._on_broadcast(message)

    def emit(self, event: str, record: dict[str, Any], *, table: str = "agent_task_requests") -> int:
        """Tell of a change; returns how many subscribers heard."""
        data = {
            "schema": "public",
            "table": table,
            "commit_timestamp": "2026-01-01T00:00:00.000Z",
            "type": event,
            "columns": [{"name": name, "type": "text"} for name in record],
            "record": record,
            "errors": None,
        }
        if event == "UPDATE":
            data["old_record"] = {"id": record.get("id")}
        data_json, heard = json.dumps(data), 0
        for subscriber, bindings in tuple(self.subscribers.items()):
            ids = [each.id for each in bindings if _fits(each, event, table, record)]
            if ids and _sees(subscriber.caller, record):
                subscriber.deliver(ids, data_json)
                heard += 1
        return heard


def _fits(binding: Binding, event: str, table: str, record: dict[str, Any]) -> bool:
    if binding.event not in ("*", event) or binding.table not in (None, "*", table):
        return False
    if not binding.filter:
        return True
    column, _, condition = binding.filter.partition("=")
    operator, _, wanted = condition.partition(".")
    value = record.get(column)
    return value is not None and (str(value) == wanted if operator == "eq" else str(value) > wanted)


def _sees(caller: Caller, record: dict[str, Any]) -> bool:
    owner = record.get("user_id")
    return owner is None or caller.role == "service_role" or str(caller.user_id) == owner
