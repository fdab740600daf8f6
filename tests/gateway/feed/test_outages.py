"""The server ends, blocks or is slow: the feed comes back by itself, and nothing piles up."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator, Sequence

import psycopg
import pytest

from agent_worker.db.feed.feed import Way
from agent_worker.gateway.realtime.changes import Changes
from tests.chaos.server import Server, running_server
from tests.gateway.feed.conftest import NOTES, Sql, flowing
from tests.gateway.feed.ears import DEADLINE_S, Ear, anon, binding, service, until, user


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        running.execute(NOTES)
        yield running


@contextlib.asynccontextmanager
async def following(url: str) -> AsyncIterator[tuple[Changes, Ear]]:
    changes = Changes(url)
    await changes.start()
    try:
        ear = Ear(service())
        async with asyncio.timeout(DEADLINE_S):
            await changes.add(ear, [binding()])
        yield changes, ear
    finally:
        await changes.stop()


async def until_ready_again(changes: Changes) -> None:
    await until(lambda: not changes.state.is_ready, 60)
    async with asyncio.timeout(60):
        await changes.ready()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_changes_flow_again_after_the_server_restarted(server: Server, how: str) -> None:
    async with following(server.url) as (changes, ear):
        server.execute("DELETE FROM notes; INSERT INTO notes (id) VALUES (1)")
        await ear.heard(1)
        getattr(server, how)()
        restarted = asyncio.create_task(until_ready_again(changes))
        await asyncio.to_thread(server.start)
        await restarted
        before = len(ear.data)
        server.execute("INSERT INTO notes (id) VALUES (2)")
        await ear.heard(before + 1)
        assert ear.data[-1]["record"]["id"] == 2
        assert changes.state.way is Way.STREAMING


async def test_a_killed_replication_session_is_replaced(changes: Changes, owner: Sql) -> None:
    ear = Ear(service())
    await changes.add(ear, [binding()])
    for number in range(3):
        owner.run(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()"
        )
        await until_ready_again(changes)
        owner.run("INSERT INTO notes (id) VALUES (%s)", number)
        await ear.heard(number + 1)


async def test_a_transaction_that_keeps_the_slot_waiting_is_named(owner: Sql) -> None:
    with psycopg.connect(owner.url, application_name="slow writer") as writer:
        writer.execute("INSERT INTO news VALUES (1)")
        changes = Changes(owner.url)
        await changes.start()
        ear = Ear(service())
        joining = asyncio.create_task(changes.add(ear, [binding("news")]))
        try:
            await until(lambda: "slow writer" in changes.state.detail)
            assert not joining.done(), "nothing would be told yet"
            writer.commit()
            async with asyncio.timeout(DEADLINE_S):
                await joining
            owner.run("INSERT INTO news VALUES (2)")
            await ear.heard(1)
        finally:
            await changes.stop()


async def test_giving_up_a_join_leaves_nothing_behind(owner: Sql) -> None:
    with psycopg.connect(owner.url) as writer:
        writer.execute("INSERT INTO news VALUES (1)")
        changes = Changes(owner.url)
        await changes.start()
        ear = Ear(service())
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await changes.add(ear, [binding("news")])
            writer.rollback()
            await changes.ready()
            probe = Ear(service())
            await changes.add(probe, [binding("news")])
            owner.run("INSERT INTO news VALUES (2)")
            await probe.heard(1)
            assert ear.data == []
        finally:
            await changes.stop()


async def test_a_gateway_stops_at_once_while_it_waits_for_its_slot(owner: Sql) -> None:
    with psycopg.connect(owner.url, application_name="slow writer") as writer:
        writer.execute("INSERT INTO news VALUES (1)")
        changes = Changes(owner.url)
        await changes.start()
        await until(lambda: "slow writer" in changes.state.detail)
        async with asyncio.timeout(DEADLINE_S):
            await changes.stop()


class Deaf(Ear):
    """Breaks its promise."""

    def deliver(self, ids: object, data_json: str) -> None:
        raise OSError("the socket is gone")


async def test_a_subscriber_that_fails_is_let_go_and_the_others_lose_nothing(
    changes: Changes, owner: Sql
) -> None:
    deaf, ear = Deaf(service()), Ear(service())
    await changes.add(deaf, [binding()])
    await changes.add(ear, [binding()])
    owner.run("INSERT INTO notes (id) SELECT n FROM generate_series(1, 1000) n")
    await ear.heard(1000)
    assert ear.records("id") == list(range(1, 1001))


@pytest.mark.slow
async def test_nothing_piles_up_while_row_level_security_takes_its_time(changes: Changes, owner: Sql) -> None:
    mine, everybody = Ear(user()), Ear(anon())
    await changes.add(mine, [binding()])
    await changes.add(everybody, [binding("news", select=("id",))])
    owner.run(
        "CREATE POLICY slow ON notes AS RESTRICTIVE USING (pg_advisory_xact_lock_shared(42) IS NOT NULL)"
    )
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with psycopg.connect(owner.url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(42)")
        owner.run("INSERT INTO notes (id, owner) VALUES (1, %s)", mine.caller.user_id)
        for part in range(10):
            owner.run(
                "INSERT INTO news SELECT n, repeat('x', 10000) FROM generate_series(%s::int, %s::int) n",
                part * 1000,
                part * 1000 + 999,
            )
        assert everybody.data == []
    await everybody.heard(10_000)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) / 1024
    assert everybody.records("id") == list(range(10_000))
    assert len(await mine.heard(1)) == 1
    assert grown_mb < 60, "100 MB went through"


async def test_two_gateways_follow_one_database(changes: Changes, owner: Sql) -> None:
    async with flowing(owner.url) as other:
        ears = [Ear(service()), Ear(service())]
        await changes.add(ears[0], [binding()])
        await other.add(ears[1], [binding()])
        owner.run("INSERT INTO notes (id) VALUES (1)")
        for ear in ears:
            await ear.heard(1)


LOOKS = """
    SELECT query_start FROM pg_stat_activity
    WHERE query LIKE '%pg_visible_in_snapshot%' AND pid <> pg_backend_pid()
      AND query_start > (SELECT min(query_start) FROM pg_stat_activity WHERE wait_event = 'SyncRep')
"""
"""When the feed asked whether the commit that waits can be seen."""


@pytest.mark.slow
async def test_nothing_is_told_that_a_statement_cannot_see_yet(server: Server) -> None:
    async with following(server.url) as (_, ear):
        server.set("synchronous_standby_names", "nobody")
        try:
            # The log has it, and the commit waits for a standby that never comes.
            inserting = asyncio.create_task(
                asyncio.to_thread(server.execute, "INSERT INTO notes (id) VALUES (77)")
            )
            with psycopg.connect(server.url, autocommit=True) as looker:
                looks: set[object] = set()

                def has_looked_thrice() -> bool:
                    looks.update(looker.execute(LOOKS).fetchall())
                    return len(looks) >= 3

                await until(has_looked_thrice)
            assert 77 not in ear.records("id")
        finally:
            server.set("synchronous_standby_names", None)
        await inserting
        await until(lambda: 77 in ear.records("id"))


class Checking(Ear):
    """Looks for each row at the moment it is told of it."""

    def __init__(self, sql: Sql) -> None:
        super().__init__(service())
        self.sql = sql
        self.missing = 0

    def deliver(self, ids: Sequence[int], data_json: str) -> None:
        super().deliver(ids, data_json)
        self.missing += not self.sql.run("SELECT 1 FROM news WHERE id = %s", self.data[-1]["record"]["id"])


async def test_who_is_told_of_a_row_finds_it(changes: Changes, owner: Sql) -> None:
    with psycopg.connect(owner.url, autocommit=True) as looker:
        ear = Checking(Sql(looker, owner.url))
        await changes.add(ear, [binding("news")])
        for number in range(200):
            await asyncio.to_thread(owner.run, "INSERT INTO news VALUES (%s)", number)
        await ear.heard(200)
    assert ear.missing == 0
