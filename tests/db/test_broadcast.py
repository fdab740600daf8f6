"""Streamed text by Realtime Broadcast: what is sent, to whom, and what of it stays."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Batch, Delta, Queue, Said
from agent_worker.domain.events import Event, text_delta
from agent_worker.domain.task import Lease
from agent_worker.testing.postgres import TestDatabases
from tests.db.steps import acting_as, claim_new, finish, rows, run, user

TEXT = text_delta("t1.1", "Hello")


async def messages(db: Database) -> list[tuple[Any, ...]]:
    return await rows(
        db, "SELECT topic, event, private, extension, payload FROM realtime.messages ORDER BY inserted_at"
    )


def said(lease: Lease, *, seq: int = 3, part: int = 0) -> Batch:
    return Batch(deltas=[Delta(lease, seq, part, [TEXT])])


async def test_a_delta_is_a_private_broadcast_on_the_tasks_own_topic(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)

    assert await queue.write(said(lease, seq=3, part=2)) == set()

    assert await messages(db) == [
        (
            f"task:{lease.task_id}",
            "delta",
            True,
            "broadcast",
            {
                "task_id": str(lease.task_id),
                "attempt": 1,
                "seq": 3,
                "part": 2,
                "events": [{"type": "text-delta", "data": {"id": "t1.1", "delta": "Hello"}}],
            },
        )
    ]
    assert await rows(db, "SELECT 1 FROM public.agent_task_events") == [], "the row comes later"


async def test_a_zombies_delta_is_not_sent_and_the_zombie_is_told(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    others = Lease(lease.task_id, 1, uuid4())
    earlier = Lease(lease.task_id, 0, queue.worker_id)

    assert await Queue(db, others.worker_id).write(said(others)) == {others}
    assert await queue.write(said(earlier)) == {earlier}
    await finish(queue, lease)
    assert await queue.write(said(lease)) == {lease}

    assert await messages(db) == []


async def test_what_a_batch_says_is_broadcast_and_written_together(db: Database, queue: Queue) -> None:
    lease, gone = await claim_new(db, queue), Lease(uuid4(), 1, queue.worker_id)
    batch = said(lease, seq=2)
    batch.deltas += said(gone).deltas
    batch.events = [Said(lease, 1, Event("text-start", {"id": "t1.1"}))]

    assert await queue.write(batch) == {gone}

    assert [topic for topic, *_ in await messages(db)] == [f"task:{lease.task_id}"]
    assert await rows(db, "SELECT seq, type FROM public.agent_task_events") == [(1, "text-start")]


# Who may follow


async def may_follow(db: Database, topic: str, role: str, claims: dict[str, Any]) -> bool:
    """Ask the policies as Realtime does it at a join: a message of the topic, looked at as the user, then undone."""
    async with await psycopg.AsyncConnection.connect(db.conninfo) as conn:
        await conn.execute(
            "INSERT INTO realtime.messages (topic, extension, private) VALUES (%s, 'broadcast', true)",
            [topic],
        )
        await conn.execute(
            "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true), "
            "set_config('realtime.topic', %s, true)",
            [role, json.dumps(claims), topic],
        )
        cursor = await conn.execute("SELECT count(*) FROM realtime.messages WHERE topic = %s", [topic])
        found = await cursor.fetchone()
        await conn.rollback()
    return found == (1,)


async def test_the_owner_and_operators_follow_a_task_and_nobody_else(db: Database, queue: Queue) -> None:
    me = uuid4()
    lease = await claim_new(db, queue, user_id=me, enterprise_id="acme")
    topic = f"task:{lease.task_id}"
    operator = user(uuid4(), app_metadata={"agent_worker": "operator"})
    neighbour = user(uuid4(), app_metadata={"enterprise_id": "acme"})

    assert await may_follow(db, topic, "authenticated", user(me))
    assert await may_follow(db, topic, "authenticated", operator)
    assert not await may_follow(db, topic, "authenticated", neighbour)
    assert not await may_follow(db, topic, "authenticated", {})
    assert not await may_follow(db, topic, "anon", {"role": "anon", "sub": str(me)})


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "task:",
        "task:1",
        "task:%",
        "room:1",
        f"task:{UUID(int=1)}",
        f"task:{UUID(int=0)}'--",
        "TASK:{id}",
        "{id}",
    ],
)
async def test_other_topics_are_nobodys(db: Database, queue: Queue, topic: str) -> None:
    me = uuid4()
    lease = await claim_new(db, queue, user_id=me)

    assert not await may_follow(db, topic.format(id=lease.task_id), "authenticated", user(me))


async def test_no_user_sends_where_workers_do(db: Database, queue: Queue) -> None:
    me = uuid4()
    lease = await claim_new(db, queue, user_id=me)
    for statement in (
        "SELECT realtime.send('{}', 'delta', %s, true)",
        "INSERT INTO realtime.messages (topic, extension, event) VALUES (%s, 'broadcast', 'delta')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with acting_as(db, "authenticated", user(me)) as conn:
                await conn.execute(statement, [f"task:{lease.task_id}"])


# Where it is, and for how long


async def test_messages_go_after_an_hour(db: Database, queue: Queue, fleet: Fleet) -> None:
    lease = await claim_new(db, queue)
    await queue.write(said(lease, part=0))
    await run(db, "UPDATE realtime.messages SET inserted_at = inserted_at - interval '61 minutes'")
    await queue.write(said(lease, part=1))

    await fleet.prune(retention_s=3600, limit=100)

    assert [payload["part"] for *_, payload in await messages(db)] == [1]


async def test_a_worker_without_rights_of_its_own_broadcasts_as_service_role(
    db: Database, database_url: str
) -> None:
    async with Database(make_conninfo(database_url, options="-c role=service_role")) as limited:
        queue = Queue(limited, uuid4())
        assert await Fleet(limited).can_broadcast()
        assert await queue.write(said(await claim_new(db, queue))) == set()
        await Fleet(limited).prune(retention_s=3600, limit=100)

    assert len(await messages(db)) == 1


async def test_a_database_without_realtime_says_so_and_lacks_nothing_else(databases: TestDatabases) -> None:
    with databases.migrated() as url:
        async with Database(url) as db:
            await run(db, "DROP SCHEMA realtime CASCADE")
            assert not await Fleet(db).can_broadcast()
            assert await Fleet(db).prune(retention_s=3600, limit=100) == 0
