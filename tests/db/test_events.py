"""Streams: numbered without a gap, in order, written by the holder only."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.domain.events import Event
from agent_worker.domain.task import Lease
from agent_worker.testing.postgres import insert_task, read_events
from tests.db.steps import Connect, claim_all, claim_new, lease_of, until_blocked, value
from tests.waiting import eventually


def delta(lease: Lease, seq: int, text: str = "x") -> Said:
    return Said(lease, seq, Event("text-delta", {"delta": text}))


async def test_events_are_read_in_the_order_they_were_said(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)

    await queue.write(Batch(events=[delta(lease, 1, "a"), delta(lease, 2, "b")]))
    await queue.write(Batch(events=[delta(lease, 3, "c")]))

    assert [(seq, data["delta"]) for seq, _, data in await read_events(db, lease.task_id)] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
    ]
    assert await queue.last_event_seq(lease.task_id) == 3


async def test_a_task_that_said_nothing_has_zero_as_its_last_number(db: Database, queue: Queue) -> None:
    assert await queue.last_event_seq(await insert_task(db)) == 0


async def test_events_carry_the_tasks_user_and_the_attempt(db: Database, queue: Queue) -> None:
    user_id = uuid4()
    lease = await claim_new(db, queue, user_id=user_id)

    await queue.write(Batch(events=[delta(lease, 1)]))

    assert await value(db, "SELECT (user_id, attempt) FROM public.agent_task_events") == (str(user_id), "1")


async def test_events_sent_again_are_stored_once(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    batch = Batch(events=[delta(lease, 1, "a"), delta(lease, 2, "b")])

    assert await queue.write(batch) == set()
    assert await queue.write(batch) == set()

    assert [seq for seq, _, _ in await read_events(db, lease.task_id)] == [1, 2]


async def test_streams_of_many_tasks_written_at_once_have_no_gap(db: Database) -> None:
    for _ in range(12):
        await insert_task(db)
    queues = [Queue(db, uuid4()) for _ in range(3)]
    leases = [[lease_of(task, queue) for task in await claim_all(queue, limit=4)] for queue in queues]

    async def stream(queue: Queue, mine: list[Lease]) -> None:
        for first in range(1, 31, 3):
            # Tasks alternate within a batch, as they do when several attempts speak at once.
            said = [delta(lease, first + n) for n in range(3) for lease in mine]
            assert await queue.write(Batch(events=said)) == set()

    await asyncio.gather(*(stream(queue, mine) for queue, mine in zip(queues, leases, strict=True)))

    for lease in (lease for mine in leases for lease in mine):
        assert [seq for seq, _, _ in await read_events(db, lease.task_id)] == list(range(1, 31))


async def test_a_task_cannot_move_on_while_its_events_are_being_written(
    db: Database, queue: Queue, connect: Connect
) -> None:
    lease = await claim_new(db, queue)
    taker = await connect()

    async with db.connection() as conn, conn.transaction():
        await conn.execute(
            "SELECT agent_worker.append_events(%s, %s, %s, %s, %s, %s::text[]::jsonb[])",
            [lease.worker_id, [lease.task_id], [1], [1], ["text-delta"], ['{"delta": "x"}']],
        )
        taking = asyncio.create_task(
            taker.execute(
                "SELECT agent_worker.retry(%s, %s, %s, '{0}')", [lease.worker_id, [lease.task_id], [1]]
            )
        )
        await until_blocked(db, taker)

    assert await (await taking).fetchall() == [], "nothing is lost"
    assert [seq for seq, _, _ in await read_events(db, lease.task_id)] == [1]


async def test_events_that_wait_for_the_task_find_it_gone(
    db: Database, queue: Queue, connect: Connect
) -> None:
    lease = await claim_new(db, queue)
    taker = await connect()

    async with taker.transaction():
        await taker.execute(
            "SELECT agent_worker.retry(%s, %s, %s, '{0}')", [lease.worker_id, [lease.task_id], [1]]
        )
        writing = asyncio.create_task(queue.write(Batch(events=[delta(lease, 1)])))

        async def is_blocked() -> bool:
            return bool(await value(db, "SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually(is_blocked)

    assert await writing == {lease}
    assert await read_events(db, lease.task_id) == []


async def test_followers_are_told_which_tasks_to_look_at(
    db: Database, queue: Queue, connect: Connect
) -> None:
    ear = await connect()
    await ear.execute("LISTEN agent_worker_events")
    lease = await claim_new(db, queue)

    await queue.write(Batch(events=[delta(lease, 1)]))

    async for note in ear.notifies(timeout=30, stop_after=1):
        assert note.payload == str(lease.task_id)


async def test_one_batch_may_tell_of_more_tasks_than_fit_one_notification(
    db: Database, queue: Queue, connect: Connect
) -> None:
    ear = await connect()
    await ear.execute("LISTEN agent_worker_events")
    await ear.execute(sql("follow"))
    for _ in range(250):
        await insert_task(db)
    leases = [lease_of(task, queue) for task in await claim_all(queue, limit=250)]

    assert await queue.write(Batch(events=[delta(lease, 1) for lease in leases])) == set()

    told: set[str] = set()
    async for note in ear.notifies(timeout=30, stop_after=2):
        told |= set(note.payload.split())
    assert told == {str(lease.task_id) for lease in leases}
