"""Tasks that wait for an answer: they hold no worker, use up no attempt, and miss no answer."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Batch, Queue
from agent_worker.domain.replay import Call
from agent_worker.domain.task import Lease, Resume
from agent_worker.testing.postgres import read_task
from tests.db.steps import (
    Connect,
    Connection,
    ask,
    claim_all,
    claim_new,
    park,
    rows,
    run,
    status_of,
    until_blocked,
    value,
)

ANSWER = "UPDATE public.human_tasks SET response = '{\"approved\": true}' WHERE task_id = %s AND key = %s"

PARK = """
    SELECT agent_worker.park(%s, %s, %s, 'ok', 'human', NULL, '{"type": "approval", "title": "Go on?",
      "description": "", "form": {}, "context": {}, "priority": "medium"}', NULL)
"""


async def answer(db: Database, task_id: UUID, key: str = "ok") -> None:
    async with db.connection() as conn:
        await conn.execute(ANSWER, [task_id, key])


async def test_a_parked_task_waits_without_a_worker_and_without_using_up_the_attempt(
    db: Database, queue: Queue
) -> None:
    lease = await claim_new(db, queue, max_attempts=1)

    assert await park(queue, lease, ask()) == set()

    row = await read_task(db, lease.task_id)
    assert (row["status"], row["attempt"], row["worker_id"]) == ("waiting", 0, None)
    assert await claim_all(queue) == []


async def test_a_question_inherits_user_and_tenant_and_expires_by_the_databases_clock(
    db: Database, queue: Queue
) -> None:
    user_id, assignee = uuid4(), uuid4()
    lease = await claim_new(db, queue, user_id=user_id, enterprise_id="acme")

    await park(queue, lease, ask(timeout_s=60.0, assignee=assignee))

    ((*facts, expires_in),) = await rows(
        db,
        "SELECT key, type, title, status, user_id, enterprise_id, assignee, "
        "extract(epoch FROM expires_at - created_at)::integer FROM public.human_tasks",
    )
    assert facts == ["ok", "approval", "Go on?", "pending", user_id, "acme", assignee]
    assert expires_in == 60


async def test_an_answer_puts_the_task_back_and_is_remembered(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())

    await answer(db, lease.task_id)

    (task,) = await claim_all(Queue(db, uuid4()))
    assert (task.id, task.attempt, task.resume) == (lease.task_id, 1, Resume.ANSWERED)
    known = await queue.load_checkpoints(lease.task_id)
    assert known["ok"].call is Call.HUMAN
    assert known["ok"].is_done
    assert known["ok"].value == {"status": "completed", "response": {"approved": True}}


async def test_parking_again_on_an_answered_question_goes_on_at_once(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    await answer(db, lease.task_id)
    (task,) = await claim_all(queue)

    await park(queue, Lease(task.id, task.attempt, queue.worker_id), ask())

    assert await status_of(db, lease.task_id) == "pending"
    assert await value(db, "SELECT count(*) FROM public.human_tasks") == 1


async def test_a_task_that_asks_twice_waits_twice(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask("first"))
    await answer(db, lease.task_id, "first")
    (task,) = await claim_all(queue)

    await park(queue, Lease(task.id, task.attempt, queue.worker_id), ask("second"))
    assert await status_of(db, lease.task_id) == "waiting"

    await answer(db, lease.task_id, "second")
    assert await status_of(db, lease.task_id) == "pending"


async def test_parking_a_task_that_somebody_cancelled_ends_it_without_a_question(
    db: Database, queue: Queue
) -> None:
    lease = await claim_new(db, queue)
    await run(db, "UPDATE public.agent_task_requests SET cancel_requested_at = now()")

    await park(queue, lease, ask())

    assert await status_of(db, lease.task_id) == "cancelled"
    assert await rows(db, "SELECT 1 FROM public.human_tasks") == []


async def _reparked(db: Database, queue: Queue) -> Lease:
    """Return a held task whose question is open: somebody set it back to pending by hand while it waited."""
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    await run(db, "UPDATE public.agent_task_requests SET status = 'pending'")
    (task,) = await claim_all(queue)
    return Lease(task.id, task.attempt, queue.worker_id)


async def _park_on(conn: Connection, lease: Lease) -> str:
    cursor = await conn.execute(PARK, [lease.worker_id, lease.task_id, lease.attempt])
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


async def test_an_answer_that_comes_while_the_task_parks_wakes_it(
    db: Database, queue: Queue, connect: Connect
) -> None:
    lease = await _reparked(db, queue)
    worker, person = await connect(), await connect()

    async with worker.transaction():
        assert await _park_on(worker, lease) == "waiting"
        answering = asyncio.create_task(person.execute(ANSWER, [lease.task_id, "ok"]))
        await until_blocked(db, person)
    await answering

    assert await status_of(db, lease.task_id) == "pending"


async def test_a_task_that_parks_while_the_answer_comes_goes_on(
    db: Database, queue: Queue, connect: Connect
) -> None:
    lease = await _reparked(db, queue)
    worker, person = await connect(), await connect()

    async with person.transaction():
        await person.execute(ANSWER, [lease.task_id, "ok"])
        parking = asyncio.create_task(_park_on(worker, lease))
        await until_blocked(db, worker)

    assert await parking == "pending"
    assert await status_of(db, lease.task_id) == "pending"


async def test_an_answer_that_is_undone_leaves_the_task_waiting(
    db: Database, queue: Queue, connect: Connect
) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    person = await connect()

    async with person.transaction(force_rollback=True):
        await person.execute(ANSWER, [lease.task_id, "ok"])

    assert await status_of(db, lease.task_id) == "waiting"


async def test_a_second_answer_is_refused_with_a_sentence(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    await answer(db, lease.task_id)

    with pytest.raises(psycopg.Error, match="this question is completed; it takes no answer") as caught:
        await run(db, "UPDATE public.human_tasks SET response = '{\"approved\": false}'")

    assert caught.value.sqlstate == "PT409", "PostgREST makes HTTP 409 of it"


@pytest.mark.parametrize("response", ["[1]", '"yes"', "null", "1"])
async def test_an_answer_that_is_no_object_is_refused_with_a_sentence(
    db: Database, queue: Queue, response: str
) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())

    with pytest.raises(psycopg.errors.CheckViolation, match="response must be a JSON object"):
        await run(db, "UPDATE public.human_tasks SET response = %(r)s::text::jsonb", r=response)


async def test_an_expired_question_wakes_its_task_with_the_news(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask(timeout_s=60.0))
    assert await fleet.expire_questions(limit=10) == 0
    await run(db, "UPDATE public.human_tasks SET expires_at = now()")

    assert await fleet.expire_questions(limit=10) == 1

    assert await status_of(db, lease.task_id) == "pending"
    known = await queue.load_checkpoints(lease.task_id)
    assert known["ok"].value == {"status": "expired", "response": None}


async def test_a_question_without_a_limit_never_expires(db: Database, queue: Queue, fleet: Fleet) -> None:
    await park(queue, await claim_new(db, queue), ask(timeout_s=None))

    assert await fleet.expire_questions(limit=10) == 0


async def test_expiring_takes_at_most_its_limit_and_passes_over_a_question_being_answered(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    leases = []
    for _ in range(3):
        leases.append(await claim_new(db, queue))
        await park(queue, leases[-1], ask(timeout_s=0.0))

    async with db.connection() as conn, conn.transaction():
        await conn.execute(ANSWER, [leases[0].task_id, "ok"])
        assert await fleet.expire_questions(limit=1) == 1
        assert await fleet.expire_questions(limit=10) == 1

    outcomes = [(await queue.load_checkpoints(lease.task_id))["ok"].value for lease in leases]
    assert [outcome["status"] for outcome in outcomes if isinstance(outcome, dict)] == [
        "completed",
        "expired",
        "expired",
    ]


async def test_the_wake_up_rings_for_idle_workers(db: Database, queue: Queue, connect: Connect) -> None:
    lease = await claim_new(db, queue)
    await park(queue, lease, ask())
    ear = await connect()
    await ear.execute("LISTEN agent_worker")

    await answer(db, lease.task_id)

    async for note in ear.notifies(timeout=30, stop_after=1):
        assert note.payload == "task"


async def test_a_lost_lease_asks_no_question(db: Database, queue: Queue) -> None:
    lease = await claim_new(db, queue)
    await queue.write(Batch(retries=[(lease, 0.0)]))

    assert await park(queue, lease, ask()) == {lease}
    assert await rows(db, "SELECT 1 FROM public.human_tasks") == []
