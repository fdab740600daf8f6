"""`migrate`, `status` and `check_schema`, on databases in every state they may be met in."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from agent_worker.db.connection import Database
from agent_worker.db.migrate import check_schema, migrate, status
from agent_worker.db.migration_files import Migration, bootstrap_file, load_migrations
from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable, SchemaOutOfDate
from agent_worker.testing.postgres import TestDatabases
from tests.migrations.normal_form import normal_form

OURS = tuple(load_migrations())
HEAD = OURS[-1].version


@pytest.fixture
def limited_role(postgres_url: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"aw_test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(name)))
        yield name
        conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def execute(url: str, *statements: str | bytes) -> list[tuple[Any, ...]]:
    """Run statements and return the rows of the last one."""
    with psycopg.connect(url, autocommit=True) as conn:
        for statement in statements:
            cursor = conn.execute(statement.encode() if isinstance(statement, str) else statement)
        return cursor.fetchall() if cursor.description else []


def history(url: str) -> list[tuple[Any, ...]]:
    return execute(
        url, "SELECT version, name, statements FROM supabase_migrations.schema_migrations ORDER BY version"
    )


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    async with Database(url) as db:
        yield db


async def test_an_empty_database_gets_every_migration_in_order(empty_url: str) -> None:
    told: list[Migration] = []

    report = await migrate(empty_url, on_applied=told.append)

    assert report.applied == tuple(told) == OURS
    assert report.version == HEAD
    assert report.bootstrapped, "template0 has no schema auth"
    async with opened(empty_url) as db:
        await check_schema(db)


async def test_migrating_twice_is_a_no_op(empty_url: str) -> None:
    await migrate(empty_url)
    schema, rows = normal_form(empty_url), history(empty_url)

    report = await migrate(empty_url)

    assert (report.applied, report.bootstrapped, report.version) == ((), False, HEAD)
    assert normal_form(empty_url) == schema
    assert history(empty_url) == rows


async def test_runners_at_once_take_turns_and_apply_each_file_once(empty_url: str) -> None:
    told: list[Migration] = []

    reports = await asyncio.gather(*(migrate(empty_url, on_applied=told.append) for _ in range(4)))

    assert sorted(told, key=lambda migration: migration.version) == list(OURS)
    assert sum(len(report.applied) for report in reports) == len(OURS)
    assert {report.version for report in reports} == {HEAD}


async def test_a_database_that_stopped_half_way_is_continued(
    empty_url: str, databases: TestDatabases
) -> None:
    await migrate(empty_url)
    last = OURS[-1]
    execute(
        empty_url,
        "DROP FUNCTION agent_worker.schema_version()",
        f"DELETE FROM supabase_migrations.schema_migrations WHERE version = '{last.version}'",
    )
    found = await status(empty_url)
    assert (found.pending, found.version) == ((last,), None)
    async with opened(empty_url) as db:
        with pytest.raises(SchemaOutOfDate, match="run: agent-worker migrate"):
            await check_schema(db)

    assert (await migrate(empty_url)).applied == (last,)


async def test_status_of_an_empty_database_changes_nothing(empty_url: str) -> None:
    found = await status(empty_url)

    assert (found.applied, found.pending, found.unknown, found.version) == ((), OURS, (), None)
    assert execute(empty_url, "SELECT nspname FROM pg_namespace WHERE nspname ~ 'supabase|agent'") == []


async def test_status_of_a_migrated_database_is_up_to_date(database_url: str) -> None:
    found = await status(database_url)

    assert (found.applied, found.pending, found.unknown) == (OURS, (), ())
    assert (found.version, found.serves_since, found.release) == (HEAD, HEAD, HEAD)


async def test_other_projects_migrations_in_the_history_are_none_of_our_business(empty_url: str) -> None:
    await migrate(empty_url)
    execute(
        empty_url,
        "INSERT INTO supabase_migrations.schema_migrations (version, name) "
        "VALUES ('20250101000000', 'older'), ('20991231000000', 'newer'), ('20250101000001', NULL)",
    )

    found = await status(empty_url)
    assert found.pending == ()
    assert found.unknown == (
        Migration("20250101000000", "older"),
        Migration("20250101000001", ""),
        Migration("20991231000000", "newer"),
    )
    assert (await migrate(empty_url)).applied == ()
    async with opened(empty_url) as db:
        await check_schema(db)


def set_version(url: str, version: str, serves_since: str) -> None:
    execute(
        url,
        "CREATE OR REPLACE FUNCTION agent_worker.schema_version(OUT version text, OUT serves_since text) "
        f"LANGUAGE sql AS $$ SELECT '{version}', '{serves_since}' $$",
    )


async def test_a_schema_older_than_the_release_names_the_command(database_url: str) -> None:
    set_version(database_url, "20250101000000", "20250101000000")

    async with opened(database_url) as db:
        with pytest.raises(SchemaOutOfDate, match=r"too old .*20250101000000.* run: agent-worker migrate"):
            await check_schema(db)


async def test_a_schema_that_no_longer_serves_this_release_names_the_upgrade(database_url: str) -> None:
    set_version(database_url, "20991231000000", "20991231000000")

    async with opened(database_url) as db:
        with pytest.raises(SchemaOutOfDate, match=r"newer than this release .*upgrade agent-worker"):
            await check_schema(db)
    with pytest.raises(SchemaOutOfDate, match="upgrade agent-worker"):
        await migrate(database_url)


async def test_a_newer_schema_that_still_serves_this_release_is_fine(database_url: str) -> None:
    set_version(database_url, "20991231000000", HEAD)

    async with opened(database_url) as db:
        await check_schema(db)
    assert (await migrate(database_url)).version == "20991231000000"


async def test_a_schema_that_somebody_dropped_is_told_from_a_new_database(database_url: str) -> None:
    execute(database_url, "DROP SCHEMA agent_worker CASCADE")

    with pytest.raises(
        SchemaOutOfDate, match=r"the schema is gone .* supabase_migrations\.schema_migrations"
    ):
        await migrate(database_url)


async def test_a_file_that_does_not_fit_leaves_nothing_of_itself(empty_url: str) -> None:
    execute(empty_url, "CREATE TABLE public.human_tasks (mine integer)")

    with pytest.raises(
        SchemaOutOfDate, match=r'human_tasks\.sql could not be applied .*"human_tasks" already'
    ):
        await migrate(empty_url)

    found = await status(empty_url)
    assert [migration.name for migration in found.applied] == [
        "private_schema",
        "agent_task_requests",
        "agent_task_events",
    ]
    execute(empty_url, "DROP TABLE public.human_tasks")
    assert (await migrate(empty_url)).version == HEAD


async def test_a_role_without_rights_is_told_who_can_help(limited_role: str, empty_url: str) -> None:
    url = make_conninfo(empty_url, user=limited_role, password="x")

    with pytest.raises(
        ConfigurationError, match=r"agent-worker migrate` once as a superuser.*bootstrap\.sql"
    ):
        await migrate(url)


async def test_an_owner_who_is_no_superuser_migrates_what_was_bootstrapped(
    limited_role: str, empty_url: str
) -> None:
    execute(empty_url, bootstrap_file().read_bytes())
    database = psycopg.conninfo.conninfo_to_dict(empty_url)["dbname"]
    execute(empty_url, f"ALTER DATABASE {database} OWNER TO {limited_role}")
    url = make_conninfo(empty_url, user=limited_role, password="x")

    report = await migrate(url)

    assert (report.applied, report.bootstrapped) == (OURS, False)
    async with opened(url) as db:
        await check_schema(db)
        await db.fetch_all("INSERT INTO public.agent_task_requests (kind) VALUES ('echo') RETURNING id")


async def test_a_role_that_may_not_create_schemas_is_told_whom_to_connect_as(
    limited_role: str, empty_url: str
) -> None:
    execute(empty_url, bootstrap_file().read_bytes())

    with pytest.raises(ConfigurationError, match="connect as the owner of the database"):
        await migrate(make_conninfo(empty_url, user=limited_role, password="x"))


async def test_what_supabase_has_is_left_as_it_is(empty_url: str) -> None:
    execute(
        empty_url,
        bootstrap_file().read_bytes(),
        "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid'",
    )

    assert not (await migrate(empty_url)).bootstrapped

    assert execute(empty_url, "SELECT prosrc FROM pg_proc WHERE oid = 'auth.uid'::regproc") == [
        ("SELECT NULL::uuid",)
    ]


async def test_the_bootstrap_may_run_again(empty_url: str) -> None:
    for _ in range(2):
        execute(empty_url, bootstrap_file().read_bytes())


async def test_nothing_is_held_from_one_file_to_the_next(empty_url: str) -> None:
    # A pooler in transaction mode may give the next transaction to another session.
    held: list[int] = []

    def look(_: Migration) -> None:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = d.oid"
        query = f"SELECT ({locks}) FROM pg_database d WHERE d.datname = current_database()"
        held.append(execute(empty_url, query)[0][0])

    await migrate(empty_url, on_applied=look)

    assert held == [0] * len(OURS)


@pytest.mark.parametrize("call", [migrate, status])
async def test_a_malformed_url_is_a_mistake_in_the_configuration(call: Callable[[str], Any]) -> None:
    with pytest.raises(ConfigurationError, match="not a PostgreSQL connection string"):
        await call("mysql://host/db")


@pytest.mark.parametrize("call", [migrate, status])
async def test_nobody_at_the_address_is_told(call: Callable[[str], Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://u@127.0.0.1:{taken.getsockname()[1]}/app"
        with pytest.raises(DatabaseUnavailable, match="not reachable"):
            await call(url)


async def test_a_connection_cut_in_the_middle_leaves_whole_files_behind(empty_url: str) -> None:
    def cut(migration: Migration) -> None:
        if migration == OURS[2]:
            execute(
                empty_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )

    with pytest.raises(DatabaseUnavailable):
        await migrate(empty_url, on_applied=cut)

    assert (await status(empty_url)).applied == OURS[:3]
    assert (await migrate(empty_url)).applied == OURS[3:]
