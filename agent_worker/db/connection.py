"""Connections: a small pool per process, and the driver's errors in our words.

Work uses at most two pooled connections; the listener and the heartbeat have one each. So a process holds four, and
a small hosted project (60 direct connections) carries a fleet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, LiteralString, Self, TypeAlias

import psycopg
from psycopg import errors as pg
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from agent_worker.db import arrays
from agent_worker.db.queries import sql
from agent_worker.db.transport import Params, Rows, Transport
from agent_worker.domain.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    SchemaOutOfDate,
    ValueRefused,
)

Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]

STATEMENT_TIMEOUT_S = 30.0
"""No statement of ours takes longer; one that does is stuck behind a lock or a dead connection."""

_DECODER = json.JSONDecoder()
_ADAPTERS = AdaptersMap(psycopg.adapters)
arrays.register(_ADAPTERS)
# json.loads would first look at the bytes to find their encoding.
set_json_loads(
    lambda data: _DECODER.decode(str(data, "utf-8") if isinstance(data, bytes) else data), _ADAPTERS
)

_OUR_DEFAULTS: dict[str, str | int] = {
    "application_name": "agent-worker",
    "connect_timeout": 5,
    # A half-open connection is noticed after about 15 s, in use (user_timeout) and idle (keepalives) alike.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}


def complete_conninfo(database_url: str) -> str:
    """Add timeouts and keepalives to a connection string; what it names itself stays.

    Raises:
        ConfigurationError: The string is no PostgreSQL connection string.
    """
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError as exc:
        raise ConfigurationError(
            "DATABASE_URL is not a PostgreSQL connection string · "
            "it should look like postgresql://user:password@host:5432/database · "
            "mend it, or unset it to use the embedded PostgreSQL"
        ) from exc
    missing = {name: value for name, value in _OUR_DEFAULTS.items() if name not in given}
    return make_conninfo(database_url, **missing)


def with_role(conninfo: str, role: str) -> str:
    """Say in the connection's application_name what it is for, as pg_stat_activity shows it."""
    name = conninfo_to_dict(conninfo).get("application_name") or "agent-worker"
    return make_conninfo(conninfo, application_name=f"{name} {role}")


def describe_target(conninfo: str) -> str:
    """Name a database for a person, without its password: `host:port/dbname`."""
    given = conninfo_to_dict(conninfo)
    host = given.get("host") or given.get("hostaddr") or "localhost"
    return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or 'postgres'}"


# The driver has no SQLSTATE for a connection that was not made, only the server's words or libpq's.
_NOT_LET_IN = re.compile(
    r"authentication failed|no password supplied|(?:role|database) \".*\" does not exist|no pg_hba\.conf entry"
)


@contextlib.contextmanager
def translated(target: str) -> Iterator[None]:
    """Turn the driver's errors into the domain's.

    `DatabaseUnavailable` covers whatever may pass by itself: no connection, a cut one, a shutdown, a deadlock, a full
    disk, a standby that is not yet promoted. Errors in the data (`psycopg.DataError`, `IntegrityError`) pass through: they belong to one task.

    Raises:
        DatabaseUnavailable: See above.
        SchemaOutOfDate: A table, column or function is missing.
    """
    try:
        yield
    except (pg.UndefinedTable, pg.UndefinedFunction, pg.UndefinedColumn, pg.InvalidSchemaName) as exc:
        raise SchemaOutOfDate(
            f"the database at {target} lacks a part of this release's schema · run: agent-worker migrate"
        ) from exc
    except pg.InsufficientPrivilege as exc:
        raise ConfigurationError(
            f"the database at {target} refuses this role ({_first_line(exc)}) · "
            "connect as the owner of the tables or as service_role"
        ) from exc
    except pg.ProgramLimitExceeded:
        raise  # an OperationalError, and yet about what was sent: trying again would not help
    except pg.DiskFull as exc:
        raise DatabaseUnavailable(
            f"postgres at {target} has no space left on its disk · free some, work goes on by itself"
        ) from exc
    except pg.ReadOnlySqlTransaction as exc:
        raise DatabaseUnavailable(
            f"postgres at {target} accepts no writes · {_first_line(exc)} · "
            "it is a standby, or its provider closed it because the disk is almost full"
        ) from exc
    except (pg.DeadlockDetected, pg.SerializationFailure, pg.LockNotAvailable, pg.QueryCanceled) as exc:
        raise DatabaseUnavailable(
            f"postgres at {target} gave up on a statement · {_first_line(exc)} · trying again may help"
        ) from exc
    except pg.IdleInTransactionSessionTimeout as exc:
        raise DatabaseUnavailable(
            f"postgres at {target} ended a transaction in which this process stood still · trying again may help"
        ) from exc
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed, TimeoutError) as exc:
        if _NOT_LET_IN.search(str(exc)):
            raise DatabaseUnavailable(
                f"postgres at {target} does not let us in · {_first_line(exc)} · "
                "correct user, password and database in DATABASE_URL, or unset it to use the embedded one"
            ) from exc
        raise DatabaseUnavailable(
            f"postgres is not reachable at {target} · {_first_line(exc)} · "
            "start it, or unset DATABASE_URL to use the embedded one"
        ) from exc


@contextlib.contextmanager
def refused_values() -> Iterator[None]:
    """Turn what `translated` lets pass into the domain's `ValueRefused`."""
    try:
        yield
    except psycopg.Error as exc:
        message = exc.diag.message_primary or type(exc).__name__
        raise ValueRefused(message, sqlstate=exc.sqlstate or "") from exc


def _first_line(exc: BaseException) -> str:
    lines = str(exc).strip().splitlines()
    return lines[0].removeprefix("connection failed: ") if lines else type(exc).__name__


class Database:
    """A pool of at most `max_size` connections to one database, each in autocommit.

    Args:
        database_url: `postgresql://…`, or any libpq connection string.
        max_size: Most pooled connections.
        acquire_timeout_s: Longest wait for a free connection.
        statement_timeout_s: Longest that one borrower may take.
        configure: Called with each new connection before anybody borrows it; what it sets up lasts as long as it.

    Raises:
        ConfigurationError: `database_url` is malformed.
    """

    def __init__(
        self,
        database_url: str,
        *,
        max_size: int = 2,
        acquire_timeout_s: float = 10.0,
        statement_timeout_s: float = STATEMENT_TIMEOUT_S,
        configure: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self.conninfo = complete_conninfo(database_url)
        self.target = describe_target(self.conninfo)
        self._acquire_timeout_s = acquire_timeout_s
        self._statement_timeout_s = statement_timeout_s
        self._connect_options: dict[str, Any] = {"autocommit": True, "context": _ADAPTERS}
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self.conninfo,
            min_size=1,
            max_size=max_size,
            open=False,
            timeout=acquire_timeout_s,
            reconnect_timeout=acquire_timeout_s,
            num_workers=1,
            kwargs=self._connect_options,
            configure=configure,
            name="agent-worker",
        )

    async def open(self) -> None:
        """Connect once, so that a wrong address is told at the start and not with the first task.

        Raises:
            DatabaseUnavailable: Nobody answers, or the credentials are refused.
        """
        with translated(self.target):
            # The pool would retry in the background and report a bare timeout; one plain connection names the cause.
            async with asyncio.timeout(self._acquire_timeout_s):
                async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as probe:
                    if await stands_behind_pooler(probe):
                        # Before PgBouncer 1.21, a statement prepared in one session is unknown in the next.
                        self._connect_options["prepare_threshold"] = None
            await self._pool.open()

    async def close(self) -> None:
        """Close all connections; twice is fine."""
        await self._pool.close(timeout=2.0)

    async def __aenter__(self) -> Self:
        """Open the pool."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the pool."""
        await self.close()

    @property
    def in_use(self) -> int:
        """Connections handed out at this moment."""
        stats = self._pool.get_stats()
        return stats.get("pool_size", 0) - stats.get("pool_available", 0)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection; the driver's errors come out translated, a stuck statement as DatabaseUnavailable."""
        task = asyncio.current_task()
        cancels = task.cancelling() if task else 0
        with translated(self.target):
            async with self._pool.connection() as conn, asyncio.timeout(self._statement_timeout_s):
                # The pool waits by asyncio.wait_for, which may swallow a cancellation before Python 3.12.
                if task is not None and task.cancelling() > cancels:
                    raise asyncio.CancelledError
                yield conn

    async def call(self, name: LiteralString, params: Params) -> Rows:
        """Run `queries/{name}.sql` and return its rows; see `Transport`."""
        with refused_values():
            async with self.connection() as conn:
                return await _call(conn, name, params)

    @contextlib.asynccontextmanager
    async def together(self) -> AsyncIterator[Transport]:
        """Give a transport whose calls are one transaction; see `Transport`."""
        with refused_values():
            async with self.connection() as conn:
                await conn.execute(sql("begin"), prepare=False)  # two statements cannot be prepared as one
                try:
                    yield _Transaction(conn, self.target)
                except BaseException:
                    with contextlib.suppress(psycopg.Error):
                        await conn.rollback()
                    raise
                await conn.commit()

    async def fetch_all(self, query: LiteralString, params: Params | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        async with self.connection() as conn:
            cursor = await conn.execute(query, params)
            return await cursor.fetchall()

    async def fetch_value(self, query: LiteralString, params: Params | None = None) -> Any:
        """Run one statement and return the first column of its first row, or None."""
        rows = await self.fetch_all(query, params)
        return rows[0][0] if rows else None


class _Transaction:
    """Calls on one connection, in the transaction that is open on it."""

    def __init__(self, conn: Connection, target: str) -> None:
        self._conn = conn
        self.target = target

    async def call(self, name: LiteralString, params: Params) -> Rows:
        return await _call(self._conn, name, params)

    def together(self) -> contextlib.AbstractAsyncContextManager[Transport]:
        return contextlib.nullcontext(self)


async def _call(conn: Connection, name: LiteralString, params: Params) -> Rows:
    # Binary results: UUIDs, times and numbers need no parsing.
    cursor = await conn.execute(sql(name), params, binary=True)
    return await cursor.fetchall()


async def stands_behind_pooler(conn: Connection) -> bool:
    """Whether somebody answers in the server's name: its sessions have other numbers than the one we were given."""
    cursor = await conn.execute("SELECT pg_backend_pid()")
    row = await cursor.fetchone()
    return row is not None and row[0] != conn.info.backend_pid
