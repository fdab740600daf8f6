"""Hear notifications on one connection of our own, and get it back when it is lost.

A notification is a hint to look, never the news itself: whatever was sent while the connection was away is gone. So
`on_up` is called after each (re)connect, and the consumer then looks at its tables once.

A connection can die without a word (a NAT that forgot it, a host that lost power). After `health_interval_s` the
listener asks the server which channels this session hears; no answer, or a wrong one, counts as a loss.

A pooler in transaction mode gives each statement to another session, so LISTEN means nothing there. The listener finds
out (`is_pooled`), says so once, and looks only every minute whether that has changed; its consumers poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg.sql import SQL, Composed, Identifier
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from agent_worker.db.connection import (
    Connection,
    complete_conninfo,
    describe_target,
    stands_behind_pooler,
    with_role,
)
from agent_worker.db.queries import sql
from agent_worker.db.transport import Params, Rows

# Bound to the standard library's logger: clients listen in programs that never configure structlog, whose default
# prints everything to standard output.
logger = structlog.wrap_logger(logging.getLogger(__name__))

CONNECT_TIMEOUT_S = 10.0
"""Longest a connect may take, over all addresses of the host."""
LONGEST_BACKOFF_S = 10.0
"""Ceiling of the wait between two attempts to connect; the first is at most a quarter of a second."""

POOLED_RETRY_S = 60.0
"""Seconds between attempts to listen through what turned out to be a pooler in transaction mode."""

_LOSSES = (psycopg.Error, OSError, TimeoutError)


class _NotHeard(psycopg.OperationalError):
    """LISTEN is not in force on the session that answers."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A statement that a consumer wants to run on the listening session."""

    query: LiteralString
    params: Params
    answer: asyncio.Future[Rows | None]


class Listener:
    """LISTEN on a few channels for as long as it runs, whatever happens to the connection.

    Starting never fails because of the database: while nobody answers, `connected` is false and the listener keeps
    trying. Consumers poll meanwhile.

    Args:
        conninfo: `postgresql://…`, or any libpq connection string; timeouts and keepalives are added.
        channels: Names of channels, taken literally.
        on_notify: Called with (channel, payload), in order, in the event loop. Must neither block nor raise.
        on_up: Called after each (re)connect, once LISTEN is in force. Must neither block nor raise.
        setup: Statements to run after LISTEN on each new session; one that fails counts as no connection.
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
        setup: Sequence[LiteralString] = (),
        health_interval_s: float = 30.0,
        answer_timeout_s: float = 5.0,
    ) -> None:
        self._conninfo = with_role(complete_conninfo(conninfo), "listener")
        self._target = describe_target(self._conninfo)
        self._channels = tuple(channels)
        self._on_notify = on_notify
        self._on_up = on_up
        self._setup = tuple(setup)
        self._health_interval_s = health_interval_s
        self._answer_timeout_s = answer_timeout_s
        self._task: asyncio.Task[None] | None = None
        self._connected = False
        self._is_pooled = False
        self._requests: deque[_Request] = deque()
        self._stirred = asyncio.Event()

    @property
    def is_pooled(self) -> bool:
        """Whether a pooler in transaction mode stands between, so that notifications never arrive."""
        return self._is_pooled

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

    async def ask(self, query: LiteralString, params: Params) -> Rows | None:
        """Run a statement on the listening session, for what belongs to a session: its locks.

        Returns:
            The rows; None when the session is away or ends meanwhile, and with it all that belonged to it.
        """
        if not self._connected:
            return None
        request = _Request(query, params, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._stirred.set()
        return await request.answer

    async def _run(self) -> None:
        while True:
            conn = await self._connect()
            try:
                await self._hear(conn)
            except _LOSSES as exc:
                logger.warning("listener.lost", target=self._target, error=str(exc).partition("\n")[0])
            finally:
                self._connected = False
                while self._requests:
                    _answer(self._requests.popleft(), None)
                await conn.close()
            # A server that goes down cuts every listener at once; they should not return as one.
            await asyncio.sleep(random.uniform(0.0, 0.25))  # noqa: S311 - spreads load, guards nothing

    async def _connect(self) -> Connection:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(_LOSSES),
            wait=self._patience,
            before_sleep=self._tell_absence,
        )
        return await attempts(self._connect_once)

    async def _connect_once(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                conn = await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, prepare_threshold=None
                )
        except (asyncio.CancelledError, TimeoutError) as exc:
            # The traceback's frames own the half-made connection, and the server waits for it a minute.
            raise exc.with_traceback(None) from None
        try:
            for channel in self._channels:
                await self._ask(conn, SQL("LISTEN {}").format(Identifier(channel)))
            await self._check(conn)
            if await stands_behind_pooler(conn):
                await self._check_beside_another(conn)
            for statement in self._setup:
                await self._ask(conn, statement)
        except BaseException:
            await conn.close()
            raise
        return conn

    async def _check_beside_another(self, conn: Connection) -> None:
        """Check again while another client of the pooler is in a transaction.

        A pooler in transaction mode that has nothing else to do gives a client the same session again and again, until
        somebody else has it.
        """
        async with await psycopg.AsyncConnection.connect(self._conninfo) as other:
            await self._ask(other, sql("heard_channels"))
            await self._check(conn)

    def _patience(self, state: RetryCallState) -> float:
        if state.outcome is not None and isinstance(state.outcome.exception(), _NotHeard):
            return POOLED_RETRY_S * random.uniform(0.9, 1.0)  # noqa: S311 - spreads load, guards nothing
        return _BACKOFF(state)

    def _tell_absence(self, state: RetryCallState) -> None:
        if state.outcome is None:
            return
        exc = state.outcome.exception()
        error = str(exc).partition("\n")[0]
        if isinstance(exc, _NotHeard):
            if not self._is_pooled:
                self._is_pooled = True
                logger.warning("listener.pooled", target=self._target, error=error)
        elif state.attempt_number == 1:  # once per outage: the attempts that follow say nothing new
            logger.warning("listener.unreachable", target=self._target, error=error)

    async def _hear(self, conn: Connection) -> None:
        self._connected = True
        self._is_pooled = False
        logger.debug("listener.connected", target=self._target, channels=self._channels)
        heard: deque[tuple[str, str]] = deque()
        conn.add_notify_handler(lambda notice: heard.append((notice.channel, notice.payload)))
        self._on_up()
        while True:
            while heard:
                self._on_notify(*heard.popleft())
            if self._requests:
                await self._serve(conn, self._requests[0])
            elif await self._stir(conn):
                heard.extend(_arrived(conn))
            else:
                await self._check(conn)

    async def _stir(self, conn: Connection) -> bool:
        """Wait for the server or a consumer to say something; false when neither did for a while."""
        loop = asyncio.get_running_loop()
        descriptor = conn.fileno()
        loop.add_reader(descriptor, self._stirred.set)
        try:
            async with asyncio.timeout(self._health_interval_s):
                await self._stirred.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)
        self._stirred.clear()
        return True

    async def _serve(self, conn: Connection, request: _Request) -> None:
        try:
            cursor = await self._ask(conn, request.query, request.params)
            rows = await cursor.fetchall()
        except _LOSSES:
            if conn.closed:
                raise
            raise psycopg.OperationalError("a statement on the listening session failed") from None
        self._requests.popleft()
        _answer(request, rows)

    async def _check(self, conn: Connection) -> None:
        cursor = await self._ask(conn, sql("heard_channels"))
        (heard,) = await cursor.fetchone() or ([],)
        if missing := set(self._channels).difference(heard):
            raise _NotHeard(
                f"this session does not hear {', '.join(sorted(missing))}: a pooler in transaction mode stands between · "
                "work is found by polling · a direct or session-mode connection would be told at once"
            )

    async def _ask(
        self, conn: Connection, query: Composed | LiteralString, params: Params | None = None
    ) -> psycopg.AsyncCursor[tuple[Any, ...]]:
        """Run a statement, and cut the connection when no answer comes in time or the caller is cancelled.

        Cancelling a statement the driver's way sends a request to the server first and waits up to ten seconds for
        it, which is what a half-open connection would make us do. Shutting the socket down ends the wait at once.
        """
        statement = asyncio.create_task(conn.execute(query, params))
        try:
            await asyncio.wait({statement}, timeout=self._answer_timeout_s)
        finally:
            if not statement.done():
                _cut(conn)
                await asyncio.wait({statement})
                statement.exception()
        return statement.result()


_BACKOFF = wait_random_exponential(multiplier=0.25, max=LONGEST_BACKOFF_S)


def _arrived(conn: Connection) -> Iterator[tuple[str, str]]:
    """Take in what the server has sent outside of any statement."""
    conn.pgconn.consume_input()
    while notice := conn.pgconn.notifies():
        yield notice.relname.decode(), notice.extra.decode()


def _answer(request: _Request, rows: Rows | None) -> None:
    if not request.answer.done():  # whoever asked may have gone
        request.answer.set_result(rows)


def _cut(conn: Connection) -> None:
    # libpq owns the descriptor: a duplicate shares the connection and leaves the original for libpq to close.
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(conn.fileno())) as connection:
        connection.shutdown(socket.SHUT_RDWR)
