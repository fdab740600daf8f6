"""Connections, and the driver's errors in our words."""

from __future__ import annotations

import asyncio
import socket

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agent_worker.db.connection import Database, complete_conninfo, describe_target
from agent_worker.db.migrate import check_schema
from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable, SchemaOutOfDate
from agent_worker.testing.postgres import TestDatabases
from tests.db.steps import Connect, run, until_blocked, value
from tests.waiting import eventually


@pytest.mark.parametrize("url", ["mysql://host/db", "not a url"])
def test_a_malformed_url_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not a PostgreSQL connection string"):
        Database(url)


def test_the_url_keeps_what_it_names_and_gets_timeouts_for_the_rest() -> None:
    given = conninfo_to_dict(complete_conninfo("postgresql://u@h/d?connect_timeout=60&application_name=mine"))

    assert (given["connect_timeout"], given["application_name"]) == ("60", "mine")
    assert given["tcp_user_timeout"] == "15000"


def test_a_target_is_named_without_its_password() -> None:
    assert describe_target("postgresql://me:secret@db.example:6543/app") == "db.example:6543/app"


async def test_nobody_at_the_address_is_told_at_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        with pytest.raises(DatabaseUnavailable, match=f"not reachable at 127.0.0.1:{port}/app.*refused"):
            await Database(f"postgresql://me:secret@127.0.0.1:{port}/app").open()


async def test_a_database_that_does_not_exist_is_told_by_name(databases: TestDatabases) -> None:
    """It answers, so it is no use to start it."""
    with pytest.raises(
        DatabaseUnavailable, match='database "no_such_one" does not exist · correct user, pass'
    ):
        await Database(databases.url("no_such_one")).open()


async def test_a_role_that_does_not_exist_is_told_by_name(database_url: str) -> None:
    url = make_conninfo(database_url, user="no_such_role", password="wrong")
    with pytest.raises(
        DatabaseUnavailable, match=r"does not let us in · .*no_such_role.* · correct user, pass"
    ):
        await Database(url).open()


async def test_errors_never_show_the_password(database_url: str) -> None:
    url = make_conninfo(database_url, password="hunter2", dbname="no_such_one")

    with pytest.raises(DatabaseUnavailable) as caught:
        await Database(url).open()

    assert "hunter2" not in str(caught.value)


async def test_a_connection_cut_by_the_server_is_replaced(db: Database) -> None:
    pid = await value(db, "SELECT pg_backend_pid()")

    with pytest.raises(DatabaseUnavailable):
        await run(db, "SELECT pg_terminate_backend(pg_backend_pid())")

    assert await value(db, "SELECT pg_backend_pid()") != pid


async def test_a_database_without_our_schema_names_the_command(databases: TestDatabases) -> None:
    with databases.empty() as url:
        async with Database(url) as db:
            with pytest.raises(SchemaOutOfDate, match="run: agent-worker migrate"):
                await check_schema(db)


async def test_a_role_that_may_not_is_a_mistake_in_the_configuration(database_url: str) -> None:
    async with Database(make_conninfo(database_url, options="-c role=anon")) as db:
        with pytest.raises(ConfigurationError, match="refuses this role"):
            await run(db, "SELECT 1 FROM public.agent_task_requests")


async def test_a_database_that_accepts_no_writes_may_accept_them_later(database_url: str) -> None:
    async with Database(make_conninfo(database_url, options="-c default_transaction_read_only=on")) as db:
        with pytest.raises(DatabaseUnavailable, match="accepts no writes"):
            await run(db, "INSERT INTO public.agent_task_requests (kind) VALUES ('echo')")


async def test_a_deadlock_is_worth_another_try(db: Database, connect: Connect) -> None:
    other = await connect()
    lock = "SELECT pg_advisory_xact_lock(%s)"
    crossing: list[asyncio.Task[object]] = []

    async def cross() -> None:
        async with db.connection() as conn, conn.transaction():
            await conn.execute("SET LOCAL deadlock_timeout = '10ms'")
            await conn.execute(lock, [2])
            crossing.append(asyncio.create_task(other.execute(lock, [2])))
            await until_blocked(db, other)
            await conn.execute(lock, [1])

    async with other.transaction():
        await other.execute("SET LOCAL deadlock_timeout = '10s'")
        await other.execute(lock, [1])
        with pytest.raises(DatabaseUnavailable, match="gave up on a statement"):
            await cross()
        await crossing[0]


async def test_errors_in_the_data_stay_the_drivers(db: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        await run(db, "SELECT 'x'::uuid")


async def test_a_pool_counts_what_is_lent(db: Database) -> None:
    async with db.connection(), db.connection():
        assert db.in_use == 2

    async def is_idle() -> bool:
        return db.in_use == 0

    await eventually(is_idle)


async def test_closing_twice_is_fine(database_url: str) -> None:
    db = Database(database_url)
    await db.open()

    await db.close()
    await db.close()

    with pytest.raises(DatabaseUnavailable):
        await value(db, "SELECT 1")
