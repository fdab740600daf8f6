"""Bring a database to this release's schema, and tell whether it is there.

Each file in `migrations/` is one transaction and one row of `supabase_migrations.schema_migrations`, written as
`supabase db push` writes it, so either tool continues what the other began. An advisory lock is taken anew in every
transaction: two runners take turns, also through a pooler that keeps no session.

Whether code and schema fit is another question than what was applied: other projects keep their migrations in the
same history. So the schema itself says which version it has and which releases it still serves
(`agent_worker.schema_version()`), and that is what workers and clients ask at their start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg

from agent_worker.db.connection import Connection, complete_conninfo, describe_target, translated
from agent_worker.db.migration_files import Migration, bootstrap_file, load_migrations, split_statements
from agent_worker.db.queries import sql
from agent_worker.db.transport import Transport
from agent_worker.domain.errors import ConfigurationError, SchemaOutOfDate
from agent_worker.domain.records import Record

__all__ = ["Migration", "MigrationReport", "MigrationStatus", "check_schema", "migrate", "status"]

OLDEST_SERVER = 150_000
"""PostgreSQL 15, for NULLS NOT DISTINCT in the index that holds dedupe keys."""

FILE_TIMEOUT_S = 600.0
"""Longest that one file may take, waiting for other runners included."""

_AS_OWNER = (
    "connect as the owner of the database (on Supabase: postgres), which may create schemas and publications"
)


@dataclass(frozen=True, slots=True)
class MigrationReport(Record):
    """What `migrate` did.

    Attributes:
        target: The database, without its password: `host:port/dbname`.
        applied: Files applied now, in order; empty when there was nothing to do.
        bootstrapped: Whether the roles and the schema `auth` that Supabase has were made first.
        version: The schema's version afterwards; later than this release's own when a later one was here before.
    """

    target: str
    applied: tuple[Migration, ...]
    bootstrapped: bool
    version: str


@dataclass(frozen=True, slots=True)
class MigrationStatus(Record):
    """What is applied to a database and what is not.

    Attributes:
        target: The database, without its password: `host:port/dbname`.
        applied: Migrations of this release that the history lists, in order.
        pending: Migrations of this release that it does not list.
        unknown: Everything else in the history: your own project's migrations, or a later release's.
        version: The schema's own word on its version; None while no release has finished migrating it.
        serves_since: The newest migration that a release must know to work with the schema; None as above.
        release: The newest migration of this release.
    """

    target: str
    applied: tuple[Migration, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[Migration, ...]
    version: str | None
    serves_since: str | None
    release: str


async def migrate(
    database_url: str, *, on_applied: Callable[[Migration], None] | None = None
) -> MigrationReport:
    """Apply what is missing. Safe to run again, and on several machines at once.

    On a plain PostgreSQL the roles and functions that every Supabase project has are made first; that part needs a
    superuser. A hosted project has them, so nothing of the kind is tried there.

    Args:
        database_url: `postgresql://…`, or any libpq connection string; a transaction-mode pooler will do.
        on_applied: Called after each file has committed.

    Raises:
        ConfigurationError: The URL is malformed, the server is too old, or the role may not do it.
        DatabaseUnavailable: Nobody answers, or the connection broke; files that committed stay applied.
        SchemaOutOfDate: A file does not fit what is there, or a later release has left this one behind.
    """
    applied: list[Migration] = []
    async with _connect(database_url) as (conn, target):
        _check_server(conn, target)
        bootstrapped = await _bootstrap(conn, target)
        await _create_history(conn, target)
        history = await _history(conn, target)
        for migration, text in load_migrations().items():
            if migration.version not in history and await _apply(conn, target, migration, text):
                applied.append(migration)
                if on_applied is not None:
                    on_applied(migration)
        version = await _version_after(conn, target)
    return MigrationReport(target, tuple(applied), bootstrapped, version)


async def status(database_url: str) -> MigrationStatus:
    """Compare a database with this release; changes nothing.

    Raises:
        ConfigurationError: The URL is malformed, or the role may not read the history.
        DatabaseUnavailable: Nobody answers.
    """
    async with _connect(database_url) as (conn, target):
        history = await _history(conn, target)
        with translated(target):
            try:
                version, serves_since = await _schema_version(conn)
            except (pg.UndefinedFunction, pg.InvalidSchemaName):
                version, serves_since = None, None
    ours = tuple(load_migrations())
    known = {migration.version for migration in ours}
    return MigrationStatus(
        target=target,
        applied=tuple(migration for migration in ours if migration.version in history),
        pending=tuple(migration for migration in ours if migration.version not in history),
        unknown=tuple(Migration(*row) for row in history.items() if row[0] not in known),
        version=version,
        serves_since=serves_since,
        release=ours[-1].version,
    )


async def check_schema(transport: Transport) -> None:
    """Make sure that this release and the database fit; one query that reads no table.

    Raises:
        SchemaOutOfDate: The schema is missing or too old for this release, or too new. A schema that is newer but
            still serves this release passes, so that workers can be replaced one by one after a migration.
        DatabaseUnavailable: Nobody answers.
    """
    ((version, serves_since),) = await transport.call("schema_version", {})
    _compare(version, serves_since, target=transport.target)


@contextlib.asynccontextmanager
async def _connect(database_url: str) -> AsyncIterator[tuple[Connection, str]]:
    conninfo = complete_conninfo(database_url)
    target = describe_target(conninfo)
    with translated(target):
        conn = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    try:
        yield conn, target
    finally:
        await conn.close()


async def _fetch(conn: Connection, name: str, params: dict[str, str] | None = None) -> object:
    cursor = await conn.execute(sql(name), params)
    row = await cursor.fetchone()
    return row[0] if row else None


def _check_server(conn: Connection, target: str) -> None:
    if conn.info.server_version < OLDEST_SERVER:
        raise ConfigurationError(
            f"the server at {target} is PostgreSQL {conn.info.server_version // 10_000} · "
            f"agent-worker needs {OLDEST_SERVER // 10_000} or later · upgrade it, or use another one"
        )


async def _bootstrap(conn: Connection, target: str) -> bool:
    """Make what Supabase has and this server lacks; false when nothing was missing."""
    with translated(target):
        if not await _fetch(conn, "lacks_supabase_parts"):
            return False
    advice = (
        "run `agent-worker migrate` once as a superuser, "
        f"or have one run: psql -f {bootstrap_file()} (the roles anon, authenticated, service_role and authenticator, the schema auth)"
    )
    with _explained("what Supabase has and this server lacks", target, advice):
        async with _exclusive(conn):
            if not await _fetch(conn, "lacks_supabase_parts"):
                return False
            await conn.execute(bootstrap_file().read_bytes())
    return True


async def _history(conn: Connection, target: str) -> dict[str, str]:
    with translated(target):
        if not await _fetch(conn, "has_migration_history"):
            return {}
        cursor = await conn.execute(sql("applied_migrations"))
        return dict(await cursor.fetchall())


async def _create_history(conn: Connection, target: str) -> None:
    with translated(target):
        if await _fetch(conn, "has_migration_history"):
            return
    with _explained("the history in the schema supabase_migrations", target, _AS_OWNER):
        async with _exclusive(conn):
            await conn.execute(sql("create_migration_history_schema"))
            await conn.execute(sql("create_migration_history"))


async def _apply(conn: Connection, target: str, migration: Migration, text: str) -> bool:
    """Run and record one file; false when somebody has done it before."""
    with _explained(f"migration {migration.file_name}", target, _AS_OWNER):
        async with _exclusive(conn):
            if await _fetch(conn, "is_migration_applied", {"version": migration.version}):
                return False
            await conn.execute(text.encode())
            params = {
                "version": migration.version,
                "name": migration.name,
                "statements": split_statements(text),
            }
            await conn.execute(sql("record_migration"), params)
    return True


@contextlib.asynccontextmanager
async def _exclusive(conn: Connection) -> AsyncIterator[None]:
    async with asyncio.timeout(FILE_TIMEOUT_S), conn.transaction():
        await conn.execute(sql("lock_migrations"))
        yield


@contextlib.contextmanager
def _explained(what: str, target: str, advice: str) -> Iterator[None]:
    """Say which step failed; the driver's other errors are translated as everywhere."""
    with translated(target):
        try:
            yield
        except pg.InsufficientPrivilege as exc:
            raise ConfigurationError(
                f"this role may not make {what} at {target} · {exc.diag.message_primary} · {advice}"
            ) from exc
        except (
            psycopg.ProgrammingError,
            psycopg.IntegrityError,
            psycopg.DataError,
            psycopg.InternalError,
        ) as exc:
            raise SchemaOutOfDate(
                f"{what} could not be applied to {target} · {exc.diag.message_primary} · "
                "nothing of it was kept; mend what it names, then run: agent-worker migrate"
            ) from exc


async def _version_after(conn: Connection, target: str) -> str:
    with translated(target):
        try:
            version, serves_since = await _schema_version(conn)
        except (pg.UndefinedFunction, pg.InvalidSchemaName) as exc:
            raise SchemaOutOfDate(
                f"the history at {target} lists every migration of this release, but the schema is gone · "
                "somebody dropped it · delete their rows from supabase_migrations.schema_migrations, "
                "then run: agent-worker migrate"
            ) from exc
    _compare(version, serves_since, target=target)
    return version


async def _schema_version(conn: Connection) -> tuple[str, str]:
    cursor = await conn.execute(sql("schema_version"))
    ((version, serves_since),) = await cursor.fetchall()
    return version, serves_since


def _compare(version: str, serves_since: str, *, target: str) -> None:
    release = tuple(load_migrations())[-1].version
    if version < release:
        raise SchemaOutOfDate(
            f"the schema at {target} is too old for this release ({version}, needed {release}) · "
            "run: agent-worker migrate"
        )
    if release < serves_since:
        raise SchemaOutOfDate(
            f"the schema at {target} is newer than this release ({version}, known {release}) · "
            "upgrade agent-worker"
        )
