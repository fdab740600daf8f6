"""Hear notifications on one connection of our own, and get it back when it is lost.

A notification is a hint to look, never the news itself: whatever was sent while the connection was away is gone. So
`on_up` is called after each (re)connect, and the consumer then looks at its tables once.

A connection can die without a word (a NAT that forgot it, a host that lost power). After `health_interval_s` the
listener asks the server which channels this session hears; no answer, or a wrong one, counts as a loss. The wrong
one comes from a pooler in transaction mode, where the LISTEN went to somebody else's session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import Callable, Sequence
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg.sql import SQL, Composed, Identifier
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from agent_worker.db.connection import Connection, complete_conninfo, describe_target
from agent_worker.db.queries import sql

# Bound to the standard library's logger: clients listen in programs that never configure structlog, whose default
# prints everything to standard output.
logger = structlog.wrap_logger(logging.getLogger(__name__))

CONNECT_TIMEOUT_S = 10.0
"""Longest a connect may take, over all addresses of the host."""
LONGEST_BACKOFF_S = 10.0
"""Ceiling of the wait between two attempts to connect; the first is at most a quarter of a second."""

_LOSSES = (psycopg.Error, OSError, TimeoutError)


class Listener:
    """LISTEN on a few channels for as long as it runs, whatever happens to the connection.

    Starting never fails because of the database: while nobody answers, `connected` is false and the listener keeps
    trying. Consumers poll meanwhile.

    Args:
        conninfo: `postgresql://…`, or any libpq connection string; timeouts and keepalives are added.
        channels: Names of channels, taken literally.
        on_notify: Called with (channel, payload), in order, in the event loop. Must neither block nor raise.
        on_up: Called after each (re)connect, once LISTEN is in force. Must neither block nor raise.
        health_interval_s: Seconds between two health checks.
        answer_timeout_s: Longest wait for the answer to LISTEN or a health check.

    Raises:
        ConfigurationError: `conninfo` is malformed.
    """

    def __init__(
        self,
        conninfo: str,
        channels: Sequence[str],
        *,
        on_notify: Callable[[str, str], None],
        on_up: Callable[[], None],
        health_interval_s: float = 10.0,
        answer_timeout_s: float = 5.0,
    ) -> None:
        self._conninfo = complete_conninfo(conninfo)
        self._target = describe_target(self._conninfo)
        self._channels = tuple(channels)
        self._on_notify = on_notify
        self._on_up = on_up
        self._health_interval_s = health_interval_s
        self._answer_timeout_s = answer_timeout_s
        self._task: asyncio.Task[None] | None = None
        self._connected = False

    @property
    def connected(self) -> bool:
        """Whether notifications arrive, as far as the last health check knows."""
        return self._connected

    async def start(self) -> None:
        """Begin to connect in the background; twice is fine."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="agent-worker-listener")

    async def stop(self) -> None:
        """Disconnect; twice is fine, unstarted is fine. Never waits for the server, even on a half-open connection."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # a callback raised, against its contract: say so

    async def _run(self) -> None:
        while True:
            conn = await self._connect()
            try:
                await self._hear(conn)
            except _LOSSES as exc:
                logger.warning("listener.lost", target=self._target, error=str(exc).partition("\n")[0])
            finally:
                self._connected = False
                await conn.close()
            # A server that goes down cuts every listener at once; they should not return as one.
            await asyncio.sleep(random.uniform(0.0, 0.25))  # noqa: S311 - spreads load, guards nothing

    async def _connect(self) -> Connection:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_LOSSES),
            wait=wait_random_exponential(multiplier=0.25, max=LONGEST_BACKOFF_S),
            before_sleep=self._tell_absence,
        )
        return await attempts(self._connect_once)

    async def _connect_once(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                conn = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
        except (asyncio.CancelledError, TimeoutError) as exc:
            # The traceback's frames own the half-made connection, and the server waits for it a minute.
            raise exc.with_traceback(None) from None
        try:
            for channel in self._channels:
                await self._ask(conn, SQL("LISTEN {}").format(Identifier(channel)))
            await self._check(conn)
        except BaseException:
            await conn.close()
            raise
        return conn

    def _tell_absence(self, state: RetryCallState) -> None:
        # Once per outage: the attempts that follow say nothing new.
        if state.attempt_number == 1 and state.outcome is not None:
            error = str(state.outcome.exception()).partition("\n")[0]
            logger.warning("listener.unreachable", target=self._target, error=error)

    async def _hear(self, conn: Connection) -> None:
        self._connected = True
        logger.debug("listener.connected", target=self._target, channels=self._channels)
        self._on_up()
        while True:
            async for notice in conn.notifies(timeout=self._health_interval_s):
                self._on_notify(notice.channel, notice.payload)
            await self._check(conn)

    async def _check(self, conn: Connection) -> None:
        cursor = await self._ask(conn, sql("heard_channels"))
        (heard,) = await cursor.fetchone() or ([],)
        if missing := set(self._channels).difference(heard):
            raise psycopg.OperationalError(
                f"this session does not hear {', '.join(sorted(missing))}: a pooler in transaction mode stands between"
            )

    async def _ask(
        self, conn: Connection, query: Composed | LiteralString
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        """Run a statement, and cut the connection when no answer comes in time or the caller is cancelled.

        Cancelling a statement the driver's way sends a request to the server first and waits up to ten seconds for
        it, which is what a half-open connection would make us do. Shutting the socket down ends the wait at once.
        """
        statement = asyncio.create_task(conn.execute(query))
        try:
            await asyncio.wait({statement}, timeout=self._answer_timeout_s)
        finally:
            if not statement.done():
                _cut(conn)
                await asyncio.wait({statement})
                statement.exception()
        return statement.result()


def _cut(conn: Connection) -> None:
    # libpq owns the descriptor: a duplicate shares the connection and leaves the original for libpq to close.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(conn.fileno())) as connection:
        connection.shutdown(socket.SHUT_RDWR)
