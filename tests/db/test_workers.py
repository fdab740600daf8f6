"""Workers' lives: a name is one living process, and a heartbeat says what to cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Beat, Fleet
from agent_worker.db.pulse import PostgresPulse
from agent_worker.db.queue import Queue
from agent_worker.domain.errors import ConfigurationError
from tests.db.steps import claim_new, register, rows, silence, status_of, value


@pytest.fixture
def pulse(database_url: str, queue: Queue) -> Iterator[PostgresPulse]:
    """The heartbeat of the test's worker."""
    opened = PostgresPulse(database_url, queue.worker_id)
    yield opened
    opened.close()


async def state_of(db: Database, worker_id: object) -> tuple[str, bool]:
    """Return a worker's state, and whether it counts among the living."""
    ((state, lives),) = await rows(
        db, "SELECT state, stopped_at IS NULL FROM agent_worker.workers WHERE id = %(id)s", id=worker_id
    )
    return state, lives


async def test_a_registered_worker_runs_and_its_kinds_are_known(db: Database, fleet: Fleet) -> None:
    worker = await register(fleet, kinds=("chat", "echo"))

    assert await state_of(db, worker.id) == ("running", True)
    assert await rows(db, "SELECT kind FROM agent_worker.kinds ORDER BY kind") == [("chat",), ("echo",)]


async def test_a_name_taken_by_a_living_worker_is_refused_and_says_by_whom(fleet: Fleet) -> None:
    await register(fleet, name="w1", host="box", pid=42)

    with pytest.raises(ConfigurationError, match=r"taken by w1 \(pid 42 on box\)"):
        await register(fleet, name="w1")


async def test_a_name_is_free_again_after_sign_off(db: Database, fleet: Fleet) -> None:
    first = await register(fleet, name="w1")
    await fleet.sign_off(first.id, "stopped")

    second = await register(fleet, name="w1")

    assert await state_of(db, second.id) == ("running", True)


async def test_a_name_is_free_again_when_its_worker_is_silent_past_its_lease(
    db: Database, fleet: Fleet
) -> None:
    first = await register(fleet, name="w1", lease_s=30.0)
    await silence(db, first.id, seconds=29.0)
    with pytest.raises(ConfigurationError):
        await register(fleet, name="w1")
    await silence(db, first.id, seconds=31.0)

    await register(fleet, name="w1")

    assert await state_of(db, first.id) == ("lost", False)


async def test_two_workers_that_take_one_name_at_once_do_not_both_get_it(fleet: Fleet) -> None:
    results = await asyncio.gather(*(register(fleet, name="w1") for _ in range(4)), return_exceptions=True)

    assert sum(isinstance(result, ConfigurationError) for result in results) == 3


async def test_registering_again_revives_the_same_worker(db: Database, fleet: Fleet) -> None:
    worker = await register(fleet)
    await silence(db, worker.id)
    await fleet.rescue(limit=10)

    await register(fleet, worker.id, name=worker.name)

    assert await state_of(db, worker.id) == ("running", True)


async def test_a_heartbeat_keeps_the_worker_alive(
    db: Database, queue: Queue, fleet: Fleet, pulse: PostgresPulse
) -> None:
    await register(fleet, queue.worker_id)
    lease = await claim_new(db, queue)
    await silence(db, queue.worker_id)

    assert await asyncio.to_thread(pulse.beat, 7) == Beat(True, [])

    assert (await fleet.rescue(limit=10)).total == 0
    assert await status_of(db, lease.task_id) == "processing"
    assert await value(db, "SELECT in_flight FROM agent_worker.workers") == 7


async def test_a_heartbeat_of_a_worker_without_a_row_says_so(pulse: PostgresPulse) -> None:
    assert await asyncio.to_thread(pulse.beat, 0) == Beat(False, [])


async def test_a_heartbeat_revives_a_worker_that_was_given_up(
    db: Database, queue: Queue, fleet: Fleet, pulse: PostgresPulse
) -> None:
    await register(fleet, queue.worker_id)
    await silence(db, queue.worker_id)
    await fleet.rescue(limit=10)
    assert await state_of(db, queue.worker_id) == ("lost", False)

    assert (await asyncio.to_thread(pulse.beat, 0)).is_known

    assert await state_of(db, queue.worker_id) == ("running", True)


async def test_a_heartbeat_does_not_end_a_drain(
    db: Database, queue: Queue, fleet: Fleet, pulse: PostgresPulse
) -> None:
    await register(fleet, queue.worker_id)
    await fleet.sign_off(queue.worker_id, "draining")

    await asyncio.to_thread(pulse.beat, 0)

    assert await state_of(db, queue.worker_id) == ("draining", True)


async def test_a_heartbeat_that_arrives_after_sign_off_does_not_hold_the_name(
    db: Database, queue: Queue, fleet: Fleet, pulse: PostgresPulse
) -> None:
    await register(fleet, queue.worker_id, name="w1")
    await fleet.sign_off(queue.worker_id, "stopped")

    await asyncio.to_thread(pulse.beat, 0)

    assert await state_of(db, queue.worker_id) == ("stopped", False)
    await register(fleet, uuid4(), name="w1")


async def test_a_worker_that_was_given_up_and_replaced_has_to_register_again(
    db: Database, queue: Queue, fleet: Fleet, pulse: PostgresPulse
) -> None:
    await register(fleet, queue.worker_id, name="w1")
    await silence(db, queue.worker_id)
    await register(fleet, name="w1")

    assert await asyncio.to_thread(pulse.beat, 0) == Beat(False, [])

    assert await state_of(db, queue.worker_id) == ("lost", False)
