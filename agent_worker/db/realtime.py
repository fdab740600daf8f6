"""Hear of new tasks and cancel requests over Supabase Realtime, as a hint, for as long as it can be reached.

Realtime promises no delivery, and a project may not have it at all: workers look by themselves all the same, only less
often while `connected`. What is heard is told in the words of our notifications (`task KIND`, `schedule`, `cancel UUID`),
so that a worker need not know where they come from.

The library's own reconnects end for good after a few tries, so each connection here is a new client, and we try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

import structlog
from realtime import (
    AsyncRealtimeChannel,
    AsyncRealtimeClient,
    RealtimePostgresChangesListenEvent,
    RealtimeSubscribeStates,
)
from realtime.exceptions import NotConnectedError
from realtime.message import SuccessSystemPayload
from realtime.types import PostgresChangesPayload
from websockets.exceptions import WebSocketException

from agent_worker.db.link import CHANNEL
from agent_worker.db.project import Project
from agent_worker.domain.backoff import Backoff

logger = structlog.get_logger(__name__)

# It writes an error for each try to connect; what matters of that is told here.
logging.getLogger("realtime").setLevel(logging.CRITICAL)

TABLE = "agent_task_requests"

COLUMNS = ("id", "kind", "run_at")
"""All that a hint needs: Realtime sends these instead of whole payloads, where it is new enough to know how."""

PENDING = "status=eq.pending"
CANCELLED = "cancel_requested_at=gt.2000-01-01"
"""Not `not.is.null`, which older projects do not know; and a filter by `status` would tell of every claim."""

CONNECT_TIMEOUT_S = 10
FLOW_TIMEOUT_S = 30.0
"""Longest from the subscription to the server's word that changes flow; Supabase takes seconds when it is cold."""
HEALTH_INTERVAL_S = 10.0
CLOSE_TIMEOUT_S = 1.0
"""A half-open connection never says good-bye."""
BACKOFF = Backoff(base_s=1.0, max_s=60.0)
RENEW_S = 900.0
"""The library may go deaf without a word (its reader died of something): no connection is trusted for longer."""

_LOSSES = (OSError, TimeoutError, WebSocketException, NotConnectedError)


class Realtime:
    """Follows the table of tasks; `Ears` of a worker without a PostgreSQL connection.

    Args:
        project: Whose table.
        on_notify: Called with (channel, payload) as a listener would, in the event loop. Must neither block nor raise.
        on_up: Called after each (re)connect, once changes flow. Must neither block nor raise.
    """

    def __init__(
        self, project: Project, *, on_notify: Callable[[str, str], None], on_up: Callable[[], None]
    ) -> None:
        self._project = project
        self._on_notify = on_notify
        self._on_up = on_up
        self._connected = False
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether changes flow, as far as the last health check knows."""
        return self._connected

    async def start(self) -> None:
        """Begin to connect in the background; twice is fine."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="agent-worker-realtime")

    async def stop(self) -> None:
        """Disconnect; twice is fine, unstarted is fine."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                reason = await self._follow()
            except _LOSSES as exc:
                failures += 1
                if failures == 1:  # once per outage: the tries that follow say nothing new
                    error = self._project.without_key(str(exc)).partition("\n")[0] or type(exc).__name__
                    logger.warning("realtime.unreachable", target=self._project.target, error=error)
            else:
                failures = 0
                if reason is not None:
                    logger.warning("realtime.lost", target=self._project.target, error=reason)
            roll = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
            await asyncio.sleep(BACKOFF.delay_s(failures + 1, roll=roll))

    async def _follow(self) -> str | None:
        """Connect, and pass hints on until the connection is lost; returns why it was, None when it was given up."""
        client = AsyncRealtimeClient(
            f"{self._project.url.rstrip('/')}/realtime/v1",
            token=self._project.key.get_secret_value(),
            auto_reconnect=False,
            max_retries=1,
            timeout=CONNECT_TIMEOUT_S,
        )
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        flows: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        channel = self._subscription(client)

        def on_system(told: SuccessSystemPayload) -> None:
            if not flows.done():
                flows.set_result(told.message)

        def on_state(state: RealtimeSubscribeStates, error: Exception | None) -> None:
            if state is not RealtimeSubscribeStates.SUBSCRIBED and not lost.done():
                lost.set_result(self._project.without_key(str(error or state.value)))

        try:
            await channel.on_system(on_system).subscribe(on_state)
            await asyncio.wait({flows, lost}, timeout=FLOW_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if lost.done() or not flows.done():
                raise TimeoutError(lost.result() if lost.done() else "the server sends no changes")
            self._connected = True
            logger.info("realtime.connected", target=self._project.target)
            self._on_up()
            renew_at = time.monotonic() + RENEW_S
            while client.is_connected and channel.is_joined:
                await asyncio.wait({lost}, timeout=HEALTH_INTERVAL_S)
                if lost.done():
                    return lost.result()
                if time.monotonic() >= renew_at:
                    return None
            return "the connection is gone"
        finally:
            self._connected = False
            await _close(client, channel)

    def _subscription(self, client: AsyncRealtimeClient) -> AsyncRealtimeChannel:
        channel = client.channel("agent-worker")
        inserted, updated = (
            RealtimePostgresChangesListenEvent.Insert,
            RealtimePostgresChangesListenEvent.Update,
        )
        for event, condition, call in (
            (inserted, PENDING, self._hear_pending),
            (updated, PENDING, self._hear_pending),
            (updated, CANCELLED, self._hear_cancel),
        ):
            channel.on_postgres_changes(
                event, call, table=TABLE, schema="public", filter=condition, select=list(COLUMNS)
            )
        return channel

    def _hear_pending(self, change: PostgresChangesPayload) -> None:
        record = change["data"].get("record")
        if record is None:  # an exception in here would leave the library deaf for good
            self._on_up()
        elif record.get("run_at") is not None:
            self._on_notify(CHANNEL, "schedule")
        elif (kind := record.get("kind")) is not None:
            self._on_notify(CHANNEL, f"task {kind}")
        else:  # a large row comes without its longer columns
            self._on_up()

    def _hear_cancel(self, change: PostgresChangesPayload) -> None:
        record = change["data"].get("record")
        if record is not None:
            self._on_notify(CHANNEL, f"cancel {record.get('id')}")


async def _close(client: AsyncRealtimeClient, channel: AsyncRealtimeChannel) -> None:
    channel.rejoin_timer.reset()
    channel.join_push.destroy()
    with contextlib.suppress(*_LOSSES):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await client.close()
