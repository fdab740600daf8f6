"""Changes as the server sends them, a fraction of a millisecond after the commit.

The replication protocol ("Streaming Replication Protocol" in PostgreSQL's manual) is spoken through the low-level half
of psycopg: no second driver, no polling. The slot is temporary: it ends with the session, so that a gateway that went
away never keeps the server from deleting its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg import sql
from psycopg.pq import ExecStatus

from agent_worker.db.connection import Connection, Database
from agent_worker.db.feed.blockers import say_who_blocks
from agent_worker.db.feed.pgoutput import Decoder, FeedCorrupt, Relation, RowChange
from agent_worker.db.feed.session import feed_conninfo, readable
from agent_worker.db.feed.source import MOST_BYTES, MOST_ROWS, Told

CONNECT_TIMEOUT_S = 10.0
SLOT_TIMEOUT_S = 120.0
"""Longest wait for the slot. It is there once every transaction that writes at that moment has ended."""
REPLY_INTERVAL_S = 5.0
"""Seconds between two reports of how far we are; each asks for an answer. The server gives up after 60 s by default."""
SILENCE_S = 20.0
"""Seconds without any message after which the server counts as gone."""

_DATA = ord("w")
_KEEPALIVE = ord("k")
_DATA_HEADER = 25
_POSITION = struct.Struct(">Q")
_KEEPALIVE_BODY = struct.Struct(">QqB")
_STATUS = struct.Struct(">cQQQqB")
_EPOCH_S = 946_684_800
"""2000-01-01, which PostgreSQL counts from."""


class Stream:
    """A `Source` on a logical replication connection.

    Args:
        database_url: Of a direct connection: poolers do not speak the replication protocol.
        db: For what is asked meanwhile.
        publications: Which to read; they must exist.
        wanted: Whether anybody follows a table.
    """

    def __init__(
        self,
        database_url: str,
        db: Database,
        publications: Sequence[str],
        wanted: Callable[[Relation], bool],
    ) -> None:
        self._database_url = database_url
        self._db = db
        self._publications = publications
        self._decoder = Decoder(wanted)
        self._conn: Connection | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._received = 0
        self._consumed = 0
        self._heard_at = 0.0
        self._is_reading = False

    async def open(self, tell: Told) -> None:
        """Connect, make the slot and begin; see `Source`."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._conn = conn = await psycopg.AsyncConnection.connect(
                feed_conninfo(self._database_url, "changes", timeout_ms=0),
                replication="database",
                autocommit=True,
                prepare_threshold=None,
            )
        slot = sql.Identifier(f"agent_worker_{os.getpid()}_{secrets.token_hex(6)}")
        create = sql.SQL("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT")
        async with say_who_blocks(self._db, tell):
            await _run(conn, create.format(slot), ExecStatus.TUPLES_OK, SLOT_TIMEOUT_S)
        await self._begin(conn, slot)
        self._heard_at = time.monotonic()
        self._reporting = asyncio.create_task(self._report(conn), name="agent-worker-feed-reports")

    async def read(self) -> Sequence[RowChange]:
        """Return what has arrived, waiting for the first message; see `Source`."""
        conn = self._connected()
        self._consumed = self._received  # whoever asks for more has dealt with what came before
        self._is_reading = True
        try:
            while True:
                rows, is_any = self._drain(conn)
                if is_any:
                    return rows
                await readable(conn)
        finally:
            self._is_reading = False

    async def close(self) -> None:
        """End the session, and with it the slot; see `Source`."""
        reporting, self._reporting = self._reporting, None
        if reporting is not None:
            reporting.cancel()
            await asyncio.wait({reporting})
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _begin(self, conn: Connection, slot: sql.Identifier) -> None:
        names = ",".join('"' + name.replace('"', '""') + '"' for name in self._publications)
        begin = sql.SQL(
            "START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names {})"
        ).format(slot, sql.Literal(names))
        await _run(conn, begin, ExecStatus.COPY_BOTH, CONNECT_TIMEOUT_S)

    def _drain(self, conn: Connection) -> tuple[list[RowChange], bool]:
        rows: list[RowChange] = []
        size = 0
        is_any = has_looked = False
        while len(rows) < MOST_ROWS and size < MOST_BYTES:
            length, data = conn.pgconn.get_copy_data(1)
            if length < 0:
                raise psycopg.OperationalError(_last_words(conn))
            if length == 0:
                # libpq takes some kilobytes at a time; what else has arrived belongs to the same batch.
                if has_looked:
                    break
                conn.pgconn.consume_input()
                has_looked = True
                continue
            has_looked = False
            is_any = True
            size += length
            if (row := self._take(conn, bytes(data))) is not None:
                rows.append(row)
        if is_any:
            self._heard_at = time.monotonic()
        return rows, is_any

    def _take(self, conn: Connection, message: bytes) -> RowChange | None:
        match message[0]:
            case t if t == _DATA:
                (start,) = _POSITION.unpack_from(message, 1)
                self._received = max(self._received, start)
                return self._decoder.decode(message[_DATA_HEADER:])
            case t if t == _KEEPALIVE:
                end, _, wants_answer = _KEEPALIVE_BODY.unpack_from(message, 1)
                self._received = max(self._received, end)
                if wants_answer:
                    self._tell_position(conn, asks_back=False)
                return None
            case tag:
                raise FeedCorrupt(f"a message of the kind {tag} in the replication stream")

    async def _report(self, conn: Connection) -> None:
        """Say how far we are, also while nothing is read: silence would end the session."""
        while True:
            await asyncio.sleep(REPLY_INTERVAL_S)
            if self._is_reading and time.monotonic() - self._heard_at > SILENCE_S:
                _cut(conn)  # `read` finds out
                return
            with contextlib.suppress(psycopg.Error):  # likewise
                self._tell_position(conn, asks_back=True)

    def _tell_position(self, conn: Connection, *, asks_back: bool) -> None:
        now_us = int((time.time() - _EPOCH_S) * 1e6)
        at = self._consumed
        conn.pgconn.put_copy_data(_STATUS.pack(b"r", at, at, at, now_us, asks_back))
        conn.pgconn.flush()

    def _connected(self) -> Connection:
        if self._conn is None:
            raise psycopg.InterfaceError("the stream is not open")
        return self._conn


async def _run(conn: Connection, query: sql.Composed, expected: ExecStatus, timeout_s: float) -> None:
    """Run a replication command, which the driver's own cursors do not take.

    Raises:
        psycopg.Error: The server refuses; with its SQLSTATE where it gave one.
        TimeoutError: No answer in time.
    """
    pgconn = conn.pgconn
    pgconn.send_query(query.as_bytes(conn))
    async with asyncio.timeout(timeout_s):
        while pgconn.flush() or pgconn.is_busy():
            await readable(conn)
            pgconn.consume_input()
    result = pgconn.get_result()
    if result is None or result.status != expected:
        raise (
            psycopg.errors.error_from_result(result)
            if result is not None
            else psycopg.OperationalError("the server did not answer")
        )
    if expected != ExecStatus.COPY_BOTH:
        while pgconn.get_result() is not None:
            pass


def _last_words(conn: Connection) -> str:
    result = conn.pgconn.get_result()
    said = result.get_error_message() if result is not None else ""
    return said or conn.pgconn.get_error_message() or "the server ended the stream"


def _cut(conn: Connection) -> None:
    # libpq owns the descriptor: a duplicate shares the connection and leaves the original for libpq to close.
    with (
        contextlib.suppress(OSError, psycopg.Error),
        socket.socket(fileno=os.dup(conn.fileno())) as connection,
    ):
        connection.shutdown(socket.SHUT_RDWR)
