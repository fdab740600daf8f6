"""Limits hold exactly, whoever claims, and forget what has ended however it ended."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.limits import Limits
from agent_worker.db.queue import Batch, Claimed, Queue
from agent_worker.domain.client_errors import LimitNotFound, LimitRefused
from agent_worker.domain.lanes import LaneBook
from agent_worker.testing.postgres import insert_task
from tests.db.steps import Connect, claim_all, finish, lease_of, register, rows, run, silence, value

ALICE, BOB = UUID(int=1), UUID(int=2)


@pytest.fixture
def limits(db: Database) -> Limits:
    return Limits(db)


async def insert(db: Database, count: int, kind: str = "echo", **columns: Any) -> None:
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", %({name})s" for name in columns)
    await run(
        db,
        f"INSERT INTO public.agent_task_requests (kind{names}) "
        f"SELECT %(kind)s{values} FROM generate_series(1, %(count)s)",
        kind=kind,
        count=count,
        **columns,
    )


async def set_limit(limits: Limits, **chosen: Any) -> None:
    await limits.set(
        **{"kind": "echo", "per": "all", "key": None, "max_running": None, "rate": None, **chosen}
    )


async def test_no_more_of_a_kind_run_than_its_limit(db: Database, queue: Queue, limits: Limits) -> None:
    await set_limit(limits, max_running=3)
    await insert(db, 10)
    await insert(db, 10, "chat")

    first = await claim_all(queue, "echo", "chat")
    again = await claim_all(queue, "echo", "chat")

    assert Counter(task.kind for task in first) == {"echo": 3, "chat": 10}, "other kinds are free"
    assert again == []
    assert isinstance(again, Claimed)
    assert again.is_held_back
    assert [task.is_limited for task in first if task.kind == "echo"] == [True] * 3
    assert not any(task.is_limited for task in first if task.kind == "chat")


async def test_an_end_makes_room_whatever_it_was(
    db: Database, queue: Queue, fleet: Fleet, limits: Limits
) -> None:
    """Completed, retried, given back, parked or deleted, and taken from a dead worker."""
    await register(fleet, queue.worker_id)
    await set_limit(limits, max_running=5)
    await insert(db, 30)
    done, retried, released, deleted, lost = (lease_of(task, queue) for task in await claim_all(queue))

    async def fits() -> int:
        tasks = await claim_all(queue)
        await queue.write(Batch(releases=[(lease_of(task, queue), 0.0) for task in tasks]))
        return len(tasks)

    assert await fits() == 0
    await finish(queue, done)
    assert await fits() == 1
    await queue.write(Batch(retries=[(retried, 60.0)]))
    assert await fits() == 2
    await queue.write(Batch(releases=[(released, 0.0)]))
    assert await fits() == 3
    await run(db, "DELETE FROM public.agent_task_requests WHERE id = %(id)s", id=deleted.task_id)
    assert await fits() == 4
    await silence(db, queue.worker_id)
    assert (await fleet.rescue(limit=10)).retried == 1
    assert lost.task_id is not None
    assert await fits() == 5


async def test_twenty_claimers_never_pass_a_limit_together(db: Database, limits: Limits) -> None:
    await set_limit(limits, max_running=7)
    await set_limit(limits, per="tenant", max_running=2)
    for tenant in ("a", "b", "c", "d", "e"):
        await insert(db, 40, enterprise_id=tenant)
    queues = [Queue(db, uuid4()) for _ in range(20)]
    most: Counter[str] = Counter()

    async def work(queue: Queue) -> None:
        for _ in range(12):
            tasks = await claim_all(queue, limit=5)
            running = Counter(
                dict(
                    await rows(
                        db,
                        "SELECT enterprise_id, count(*) FROM public.agent_task_requests "
                        "WHERE status = 'processing' GROUP BY 1",
                    )
                )
            )
            most["all"] = max(most["all"], running.total())
            most["tenant"] = max(most["tenant"], *running.values(), 0)
            for task in tasks:
                await finish(queue, lease_of(task, queue))

    await asyncio.gather(*map(work, queues))
    assert most == {"all": 7, "tenant": 2}
    assert await value(db, "SELECT count(*) FROM public.agent_task_requests WHERE status = 'completed'") > 20


async def test_each_tenant_and_each_user_has_its_own_limit(
    db: Database, queue: Queue, limits: Limits
) -> None:
    await set_limit(limits, kind=None, per="tenant", max_running=4)
    await set_limit(limits, kind=None, per="tenant", key="large", max_running=6)
    await set_limit(limits, kind=None, per="user", max_running=3)
    for tenant in ("large", "small"):
        for user in (ALICE, BOB):
            await insert(db, 10, enterprise_id=tenant, user_id=user)
    await insert(db, 10, "chat")

    claimed = await claim_all(queue, "echo", "chat")

    by_tenant = Counter(task.enterprise_id for task in claimed)
    by_user = Counter(task.user_id for task in claimed)
    assert by_user[ALICE] == by_user[BOB] == 3, "over all tenants and kinds"
    assert by_tenant["large"] + by_tenant["small"] == 6
    assert by_tenant["small"] <= 4
    assert by_tenant[None] == 10, "who is of no tenant and no user is not limited by theirs"


async def test_a_user_at_its_limit_does_not_stand_in_the_way_of_a_colleague(
    db: Database, queue: Queue, limits: Limits
) -> None:
    await set_limit(limits, per="user", max_running=1)
    await insert(db, 5_000, enterprise_id="acme", user_id=ALICE)
    await claim_all(queue)
    await insert(db, 1, enterprise_id="acme", user_id=BOB)

    (task,) = await claim_all(queue)

    assert task.user_id == BOB


async def test_no_more_start_in_a_period_than_the_rate_and_the_claim_says_when_the_next_may(
    db: Database, queue: Queue, limits: Limits
) -> None:
    await set_limit(limits, rate=(5, 60))
    await insert(db, 20)

    first = await claim_all(queue, limit=3)
    second = await claim_all(queue)
    for task in [*first, *second]:
        await finish(queue, lease_of(task, queue))
    third = await claim_all(queue)

    assert (len(first), len(second), len(third)) == (3, 2, 0), "an end makes no room"
    assert third.wait_s is not None
    assert 50 < third.wait_s <= 60
    await run(db, "UPDATE agent_worker.starts SET started_at = started_at - interval '61 s' WHERE tasks = 3")
    assert len(await claim_all(queue)) == 3, "the period slides"


async def test_a_rate_of_each_tenant_holds_back_that_tenant_alone(
    db: Database, queue: Queue, limits: Limits
) -> None:
    await set_limit(limits, per="tenant", rate=(2, 60))
    await insert(db, 5, enterprise_id="a")
    await insert(db, 5, enterprise_id="b")

    claimed = await claim_all(queue)

    assert Counter(task.enterprise_id for task in claimed) == {"a": 2, "b": 2}


async def test_what_runs_when_a_limit_is_set_counts(db: Database, queue: Queue, limits: Limits) -> None:
    await insert(db, 10)
    assert len(await claim_all(queue, limit=4)) == 4

    await set_limit(limits, max_running=5)

    assert len(await claim_all(queue)) == 1


async def test_a_paused_kind_waits_until_it_is_resumed(db: Database, queue: Queue, limits: Limits) -> None:
    await set_limit(limits, max_running=2)
    await insert(db, 3)
    await insert(db, 3, "chat")

    await limits.pause("echo")
    assert {task.kind for task in await claim_all(queue, "echo", "chat")} == {"chat"}
    await limits.resume("echo")

    assert len(await claim_all(queue)) == 2, "its limit is still there"
    with pytest.raises(LimitNotFound):
        await limits.resume("echo")


async def test_resuming_a_kind_without_limits_leaves_nothing_behind(db: Database, limits: Limits) -> None:
    await limits.pause("echo")
    await limits.pause("echo")
    await limits.resume("echo")

    assert await limits.all() == []


async def test_a_change_of_limits_tells_the_workers_to_look(limits: Limits, connect: Connect) -> None:
    ear = await connect()
    await ear.execute("LISTEN agent_worker")
    await set_limit(limits, max_running=1)
    assert [note.payload async for note in ear.notifies(timeout=30, stop_after=1)] == ["look"]


async def test_what_is_listed_says_how_many_run(db: Database, queue: Queue, limits: Limits) -> None:
    await set_limit(limits, max_running=4)
    await set_limit(limits, kind=None, per="user", max_running=9)
    await insert(db, 6, user_id=ALICE)
    claimed = await claim_all(queue)
    await finish(queue, lease_of(claimed[0], queue))

    everybody, echo = await limits.all()

    assert (everybody.kind, everybody.per, everybody.running) == (None, "user", 3)
    assert (echo.kind, echo.max_running, echo.running) == ("echo", 4, 3)
    await limits.remove(echo.id)
    assert len(await limits.all()) == 1
    with pytest.raises(LimitNotFound):
        await limits.remove(echo.id)


@pytest.mark.parametrize(
    ("chosen", "rule"),
    [
        ({}, "a limit needs max_running, max_starts or paused_at"),
        ({"max_running": -1}, "max_running must be"),
        ({"max_running": 1, "key": "acme"}, "a key needs per tenant or per user"),
        ({"rate": (1, 100_000)}, "period_s must be"),
    ],
)
async def test_a_limit_that_means_nothing_is_refused(
    limits: Limits, chosen: dict[str, Any], rule: str
) -> None:
    with pytest.raises(LimitRefused, match=rule):
        await set_limit(limits, **chosen)


async def test_tenants_take_turns_within_a_limit(db: Database, queue: Queue, limits: Limits) -> None:
    """A tenant with a long queue delays another's next task by no more than one batch."""
    await set_limit(limits, max_running=4)
    await insert(db, 2_000, enterprise_id="large")
    await insert(db, 50, enterprise_id="small")
    book = LaneBook(["echo"], range(9, -1, -1))
    served: list[Sequence[str | None]] = []
    for round_ in range(20):
        tasks = await queue.claim(book.spans(4, sweep=True), 4)
        book.learn(((task.kind, task.priority, task.lane, task.seq) for task in tasks), float(round_))
        served.append([task.enterprise_id for task in tasks])
        for task in tasks:
            await finish(queue, lease_of(task, queue))
    assert all("small" in one + two for one, two in itertools.pairwise(served[2:]))
    assert all(len(batch) >= 2 for batch in served[2:])


async def test_limits_are_the_service_roles_alone(db: Database, connect: Connect) -> None:
    for role in ("anon", "authenticated"):
        for table in ("limits", "running", "starts"):
            allowed = await value(
                db,
                "SELECT has_table_privilege(%(role)s, %(table)s, 'SELECT, INSERT, UPDATE, DELETE')",
                role=role,
                table=f"agent_worker.{table}",
            )
            assert not allowed


async def test_the_ledger_of_starts_does_not_grow_for_ever(
    db: Database, queue: Queue, limits: Limits
) -> None:
    await set_limit(limits, rate=(1_000, 1))
    for _ in range(3):
        await insert_task(db)
        await claim_all(queue)
        await run(db, "UPDATE agent_worker.starts SET started_at = started_at - interval '2 s'")
    assert await value(db, "SELECT count(*) FROM agent_worker.starts") <= 2
