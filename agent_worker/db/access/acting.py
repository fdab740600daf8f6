"""One transaction as a caller, in one round trip.

A pipeline without BEGIN is one implicit transaction that ends with the pipeline
(https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING): the settings that make a session
the caller's are local to it, and an error undoes all of it. Only where an answer may still be refused after it has been
looked at, the transaction is begun and ended by name, which costs two more round trips.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import psycopg
from psycopg.sql import SQL, Identifier

from agent_worker.db.access.compose import Composition, Query
from agent_worker.db.access.refusals import StatementRefused
from agent_worker.db.connection import Connection
from agent_worker.db.queries import sql
from agent_worker.domain.caller import Caller
from agent_worker.domain.json import JsonObject, dump_json

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What functions and policies may ask about the request, by `current_setting('request.…')`.

    Attributes:
        method: HTTP method or what stands for it.
        path: Path of the URL.
        headers: By names in lower case; without credentials.
    """

    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Acting:
    """As whom, and within which bounds.

    Attributes:
        schema: Where names without a schema are looked up.
        timeout_s: Longest a statement may take; None for no limit.
    """

    caller: Caller
    circumstances: Circumstances
    schema: str
    timeout_s: float | None

    def settings(self, *, is_read_only: bool) -> JsonObject:
        """Return the parameters of `act_as.sql`."""
        claims = {**self.caller.claims, "role": self.caller.role}
        return {
            "search_path": Identifier(self.schema).as_string(),
            "claims": dump_json(claims),
            "method": self.circumstances.method,
            "path": self.circumstances.path,
            "headers": dump_json(self.circumstances.headers),
            "timeout_ms": "0" if self.timeout_s is None else str(int(self.timeout_s * 1000)),
            "is_read_only": is_read_only,
            "role": self.caller.role,
        }


async def run(conn: Connection, acting: Acting, composition: Composition) -> tuple[Row, Any]:
    """Run a composition and return its row, and what EXPLAIN said where it was asked.

    Raises:
        StatementRefused: PostgreSQL says no; nothing has been changed.
    """
    with _refusals():
        async with conn.pipeline():
            await conn.execute(sql("act_as"), acting.settings(is_read_only=composition.is_read_only))
            rows = await _send(conn, composition.query)
            plan = None if composition.plan is None else await _send(conn, composition.plan)
        row = await rows.fetchone()
        explained = None if plan is None else await plan.fetchone()
    if row is None:
        raise LookupError("the statement has no result")
    return row, explained and explained[0]


async def give_up_rights(conn: Connection) -> None:
    """Make a superuser's session one of `authenticator`, where that role exists; a pool's `configure`."""
    await conn.execute(sql("become_authenticator"), prepare=False)


@contextlib.asynccontextmanager
async def kept_open(conn: Connection) -> AsyncIterator[None]:
    """Hold the transaction of `run` open until the end of the block; an exception undoes it."""
    with _refusals():
        await conn.execute(SQL("BEGIN"), prepare=False)
    try:
        yield
    except BaseException:
        with contextlib.suppress(psycopg.Error):
            await conn.rollback()
        raise
    with _refusals():
        await conn.commit()


async def _send(conn: Connection, query: Query) -> psycopg.AsyncRawCursor[Row]:
    cursor = psycopg.AsyncRawCursor(conn)
    await cursor.execute(query.text.as_bytes(), query.values)
    return cursor


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Turn what PostgreSQL says about the statement into a refusal; a lost connection passes."""
    try:
        yield
    except psycopg.Error as exc:
        if exc.sqlstate is None:
            raise
        raise as_refused(exc) from None


def as_refused(error: psycopg.Error) -> StatementRefused:
    """Return an error of PostgreSQL as a refusal; one without an SQLSTATE is none."""
    return StatementRefused(
        error.sqlstate or "",
        error.diag.message_primary or "",
        details=error.diag.message_detail,
        hint=error.diag.message_hint,
    )
