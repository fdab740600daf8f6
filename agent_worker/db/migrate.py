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
import functools
import importlib.resources
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

import psycopg
from psycopg import errors as pg

from agent_worker.db.connection import Connection, Database, complete_conninfo, describe_target, translated
from agent_worker.db.queries import sql
from agent_worker.domain.errors import ConfigurationError, SchemaOutOfDate

OLDEST_SERVER = 150_000
"""PostgreSQL 15, for NULLS NOT DISTINCT in the index that holds dedupe keys."""

FILE_TIMEOUT_S = 600.0
"""Longest that one file may take, waiting for other runners included."""

_FILE_NAME = re.compile(r"(\d{14})_([a-z0-9_]+)\.sql")

_TOKEN = re.compile(
    r"""--[^\n]*             # a comment to the end of the line
      | /\*.*?\*/            # a comment in the line
      | '(?:[^']|'')*'       # text
      | "(?:[^"]|"")*"       # a quoted name
      | (\$\w*\$).*?\1       # text between dollar tags: the body of a function
      | ;
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; `version` is the 14 digits its file's name begins with, `name` is the rest."""

    version: str
    name: str


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What `migrate` did.

    Attributes:
        applied: Files applied now, in order; empty when there was nothing to do.
        bootstrapped: Whether the roles and the schema `auth` that Supabase has were made first.
        version: The schema's version afterwards; later than this release's own when a later one was here before.
    """

    applied: tuple[Migration, ...]
    bootstrapped: bool
    version: str


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """What is applied to a database and what is not.

    Attributes:
        applied: Migrations of this release that the history lists, in order.
        pending: Migrations of this release that it does not list.
        unknown: Everything else in the history: your own project's migrations, or a later release's.
        version: The schema's own word on its version; None while no release has finished migrating it.
        release: The newest migration of this release.
    """

    applied: tuple[Migration, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[Migration, ...]
    version: str | None
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
        for migration, text in _load().items():
            if await _apply(conn, target, migration, text):
                applied.append(migration)
                if on_applied is not None:
                    on_applied(migration)
        version = await _version_after(conn, target)
    return MigrationReport(tuple(applied), bootstrapped, version)


async def status(database_url: str) -> MigrationStatus:
    """Compare a database with this release; changes nothing.

    Raises:
        ConfigurationError: The URL is malformed, or the role may not read the history.
        DatabaseUnavailable: Nobody answers.
    """
    async with _connect(database_url) as (conn, target):
        with translated(target):
            history: dict[str, str] = {}
            if await _fetch(conn, "has_migration_history"):
                cursor = await conn.execute(sql("applied_migrations"))
                history = dict(await cursor.fetchall())
            try:
                version = await _fetch(conn, "schema_version")
            except (pg.UndefinedFunction, pg.InvalidSchemaName):
                version = None
    ours = tuple(_load())
    known = {migration.version for migration in ours}
    return MigrationStatus(
        applied=tuple(migration for migration in ours if migration.version in history),
        pending=tuple(migration for migration in ours if migration.version not in history),
        unknown=tuple(Migration(*row) for row in history.items() if row[0] not in known),
        version=str(version) if version is not None else None,
        release=ours[-1].version,
    )


async def check_schema(db: Database) -> None:
    """Make sure that this release and the database fit; one query that reads no table.

    Raises:
        SchemaOutOfDate: The schema is missing or too old for this release, or too new. A schema that is newer but
            still serves this release passes, so that workers can be replaced one by one after a migration.
        DatabaseUnavailable: Nobody answers.
    """
    ((version, serves_since),) = await db.fetch_all(sql("schema_version"))
    _compare(version, serves_since, target=db.target)


def find_migrations(package: Traversable | None = None) -> tuple[Traversable, ...]:
    """Return the SQL files in order of application: from the installed package, else from the repository's root.

    A wheel carries them inside the package; an editable install leaves them where they are written.

    Args:
        package: Root of the package; None means this one.

    Raises:
        ConfigurationError: The installation has none.
    """
    package = package or importlib.resources.files("agent_worker")
    inside = package.joinpath("migrations")
    root = inside if inside.is_dir() else Path(str(package)).parent / "migrations"
    files = sorted(root.iterdir(), key=lambda file: file.name) if root.is_dir() else []
    found = tuple(file for file in files if _FILE_NAME.fullmatch(file.name))
    if not found:
        raise ConfigurationError(
            f"this installation of agent-worker has no migrations · nothing is in {inside} · install it again"
        )
    return found


def split_statements(text: str) -> list[str]:
    """Cut a file into the statements that `supabase db push` would record: trimmed, without their semicolons."""
    ends = [token.start() for token in _TOKEN.finditer(text) if token.group() == ";"]
    pieces = [
        text[start:end] for start, end in zip([0, *(end + 1 for end in ends)], [*ends, None], strict=True)
    ]
    return [stripped for piece in pieces if (stripped := piece.strip())]


@functools.cache
def _load() -> dict[Migration, str]:
    names = [(file, _FILE_NAME.fullmatch(file.name)) for file in find_migrations()]
    return {Migration(*match.groups()): file.read_text(encoding="utf-8") for file, match in names if match}


def _bootstrap_file() -> Traversable:
    return importlib.resources.files("agent_worker.db").joinpath("bootstrap.sql")


@contextlib.asynccontextmanager
async def _connect(database_url: str) -> AsyncIterator[tuple[Connection, str]]:
    conninfo = complete_conninfo(database_url)
    target = describe_target(conninfo)
    with translated(target):
        conn = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, prepare_threshold=None)
    async with contextlib.aclosing(conn):
        yield conn, target


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
        f"or have one run: psql -f {_bootstrap_file()} (the roles anon, authenticated and service_role, the schema auth)"
    )
    with _explained("what Supabase has and this server lacks", target, advice):
        async with _exclusive(conn):
            if not await _fetch(conn, "lacks_supabase_parts"):
                return False
            await conn.execute(_bootstrap_file().read_bytes())
    return True


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
    file_name = f"{migration.version}_{migration.name}.sql"
    with _explained(f"migration {file_name}", target, _AS_OWNER):
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


_AS_OWNER = (
    "connect as the owner of the database (on Supabase: postgres), which may create schemas and publications"
)


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
            cursor = await conn.execute(sql("schema_version"))
        except (pg.UndefinedFunction, pg.InvalidSchemaName) as exc:
            raise SchemaOutOfDate(
                f"the history at {target} lists every migration of this release, but the schema is gone · "
                "somebody dropped it · delete their rows from supabase_migrations.schema_migrations, "
                "then run: agent-worker migrate"
            ) from exc
        ((version, serves_since),) = await cursor.fetchall()
    _compare(version, serves_since, target=target)
    return str(version)


def _compare(version: str, serves_since: str, *, target: str) -> None:
    release = tuple(_load())[-1].version
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
