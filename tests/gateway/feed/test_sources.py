"""Every way to hear of changes tells the same; and what happens when a way is closed."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from agent_worker.db.feed.feed import Way
from agent_worker.gateway.realtime.changes import Changes
from tests.gateway.feed.conftest import Sql, flowing
from tests.gateway.feed.ears import DEADLINE_S, Ear, binding, service, user

TRIGGERS = "SELECT count(*) FROM pg_trigger WHERE tgname = 'agent_worker_change_feed'"


@pytest.fixture
def no_free_sender(owner: Sql) -> Iterator[None]:
    """All replication connections that the server allows are taken."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(psycopg.connect(owner.url, replication="database", autocommit=True))
            except psycopg.OperationalError:
                break
        yield


@pytest.fixture
def unprivileged(owner: Sql) -> Iterator[str]:
    """The URL of a role that owns the tables and may act for the callers, but may not replicate."""
    name, password = f"gate_{secrets.token_hex(4)}", secrets.token_hex(8)
    owner.run(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE anon, authenticated, service_role")
    owner.run(
        f"GRANT USAGE ON SCHEMA agent_worker TO {name};"
        f" GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA agent_worker TO {name};"
        f" GRANT ALL ON SCHEMA public TO {name}; ALTER TABLE notes OWNER TO {name}; ALTER TABLE news OWNER TO {name}"
    )
    parts = urlsplit(owner.url)
    yield parts._replace(netloc=f"{name}:{password}@{parts.hostname}:{parts.port}").geturl()
    owner.run(f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}")


@contextlib.asynccontextmanager
async def way(name: str, owner: Sql, request: pytest.FixtureRequest) -> AsyncIterator[Changes]:
    url = owner.url
    if name == "polling":
        request.getfixturevalue("no_free_sender")
    elif name == "triggers":
        url = request.getfixturevalue("unprivileged")
    async with flowing(url) as changes:
        assert changes.state.way is Way(name)
        yield changes


@pytest.mark.parametrize("name", ["streaming", "polling", "triggers"])
async def test_every_way_tells_the_same(name: str, owner: Sql, request: pytest.FixtureRequest) -> None:
    mine = user()
    async with way(name, owner, request) as changes:
        ears = [Ear(service()), Ear(mine), Ear(user())]
        for ear in ears:
            await changes.add(ear, [binding()])
        owner.run(
            "INSERT INTO notes (id, owner, body, size, done) VALUES (1, %s, 'é', 1.50, true)", mine.user_id
        )
        await ears[0].heard(1)
        owner.run("UPDATE notes SET body = NULL")
        await ears[0].heard(2)
        owner.run("UPDATE notes SET id = 2")
        await ears[0].heard(3)
        owner.run("DELETE FROM notes")
        told = await ears[0].heard(4)
        assert [change["type"] for change in told] == ["INSERT", "UPDATE", "UPDATE", "DELETE"]
        assert told[0]["record"] == {
            "id": 1, "owner": str(mine.user_id), "body": "é", "size": 1.5, "done": True, "at": None, "hidden": None,
        }  # fmt: skip
        assert told[1]["record"]["body"] is None
        assert [change["old_record"] for change in told[1:]] == [{"id": 1}, {"id": 1}, {"id": 2}]
        assert [change["type"] for change in await ears[1].heard(4)] == [
            "INSERT",
            "UPDATE",
            "UPDATE",
            "DELETE",
        ]
        assert [change["type"] for change in ears[2].data] == ["DELETE"]


@pytest.mark.parametrize("name", ["polling", "triggers"])
async def test_a_large_transaction_comes_whole_and_in_order(
    name: str, owner: Sql, request: pytest.FixtureRequest
) -> None:
    async with way(name, owner, request) as changes:
        ear = Ear(service())
        await changes.add(ear, [binding("news")])
        owner.run("INSERT INTO news SELECT n, repeat('x', 1000) FROM generate_series(1, 3000) n")
        await ear.heard(3000)
        assert ear.records("id") == list(range(1, 3001))


async def test_triggers_go_with_the_last_gateway(owner: Sql, unprivileged: str) -> None:
    async with flowing(unprivileged):
        async with flowing(unprivileged):
            assert owner.run(TRIGGERS) == [(2,)]
        assert owner.run(TRIGGERS) == [(2,)], "another gateway needs them"
    assert owner.run(TRIGGERS) == [(0,)]


async def test_a_key_too_long_for_a_notification_does_not_fail_its_insert(
    owner: Sql, unprivileged: str
) -> None:
    owner.run("CREATE TABLE wide (a text, b text, c text, d text, PRIMARY KEY (a, b, c, d))")
    owner.run("ALTER PUBLICATION supabase_realtime ADD TABLE wide; GRANT SELECT ON wide TO service_role")

    role = urlsplit(unprivileged).username
    owner.run(f"ALTER TABLE wide OWNER TO {role}")
    async with flowing(unprivileged) as changes:
        ear = Ear(service())
        await changes.add(ear, [binding("wide")])
        # Compressible, or the index would refuse it.
        owner.run("INSERT INTO wide SELECT r, r, r, r FROM repeat('x', 2500) r")
        owner.run("INSERT INTO wide VALUES ('a', 'b', 'c', 'd')")
        await ear.heard(1)
    assert ear.records("a") == ["a"]


async def test_a_notification_that_no_trigger_sent_is_nothing(owner: Sql, unprivileged: str) -> None:
    async with flowing(unprivileged) as changes:
        ear = Ear(service())
        await changes.add(ear, [binding("news")])
        for payload in (
            "",
            "{}",
            "[]",
            '{"table": "x"}',
            '{"table": 1, "kind": "INSERT", "new": [1], "old": null, "at": 0}',
        ):
            owner.run("SELECT pg_notify('agent_worker_changes', %s)", payload)
        owner.run("INSERT INTO news VALUES (1)")
        await ear.heard(1)
        assert changes.state.way is Way.TRIGGERS


async def test_a_new_publication_of_messages_is_noticed(owner: Sql) -> None:
    owner.run("DROP PUBLICATION supabase_realtime_messages_publication")
    async with flowing(owner.url, publications_interval_s=0.05) as changes:
        heard: list[str] = []
        changes.broadcasts(lambda message: heard.append(message.topic))
        owner.run("CREATE PUBLICATION supabase_realtime_messages_publication FOR TABLE realtime.messages")
        async with asyncio.timeout(DEADLINE_S):
            number = 0
            while not heard:
                number += 1
                owner.run(
                    "INSERT INTO realtime.messages (topic, extension, payload, event, private)"
                    " VALUES (%s, 'broadcast', '{}', 'e', true)", f"topic {number}"
                )  # fmt: skip
                await asyncio.sleep(0.05)
