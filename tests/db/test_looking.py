"""Looks at many runs in one statement, each with the rights of whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import LiteralString
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.looking import MOST_LOOKS, ROWS_PER_PAGE, Looking
from agent_worker.db.tasks import Tasks
from agent_worker.db.transport import Params, Rows
from agent_worker.domain.caller import AUTHENTICATED, SERVICE_ROLE, Caller, Eyes
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.domain.events import Event, text_delta
from agent_worker.domain.records import NewTask
from agent_worker.domain.task import Task, TaskStatus
from tests.client.by_hand import ByHand

SERVER = Caller(SERVICE_ROLE).eyes()


@pytest.fixture
async def looking(db: Database) -> AsyncIterator[Looking]:
    opened = Looking(db)
    yield opened
    await opened.stop()


def user(user_id: UUID | str) -> Eyes:
    return Caller(AUTHENTICATED, {"sub": str(user_id)}).eyes()


async def begin(db: Database, user_id: UUID, *, kind: str = "pipeline") -> Task:
    await Tasks(db).submit(NewTask(request_payload={}, kind=kind, user_id=user_id))
    return await ByHand(db).claim(kind)


async def seen(looking: Looking, eyes: Eyes, run_id: UUID, after_seq: int = 0) -> list[int] | None:
    page = await looking.follow(eyes, run_id, after_seq=after_seq)
    return None if page is None else [event.seq for event in page.events]


async def test_each_sees_what_row_level_security_lets_it_see(db: Database, looking: Looking) -> None:
    ann, bob = uuid4(), uuid4()
    by_hand = ByHand(db)
    runs = {}
    for user_id in (ann, bob):
        await Tasks(db).submit(NewTask(request_payload={}, kind="pipeline", user_id=user_id))
        runs[user_id] = task = await by_hand.claim("pipeline")
        await by_hand.begin(task)
        await by_hand.speak(task, "Hi")
    looks = [
        seen(looking, eyes, runs[owner].id)
        for eyes in (user(ann), SERVER, user(bob), user(uuid4()))
        for owner in (ann, bob)
    ]
    assert await asyncio.gather(*looks) == [[1, 2], None, [1, 2], [1, 2], None, [1, 2], None, None]


async def test_a_caller_whose_policies_break_sees_nothing_and_harms_nobody(
    db: Database, looking: Looking
) -> None:
    ann = uuid4()
    task = await begin(db, ann)
    broken, good = await asyncio.gather(
        seen(looking, user("no uuid"), task.id), seen(looking, user(ann), task.id)
    )
    assert (broken, good) == (None, [])


async def test_a_page_has_a_bound_and_leaves_out_pieces_before_the_cursor(
    db: Database, looking: Looking
) -> None:
    await Tasks(db).submit(NewTask(request_payload={}, kind="pipeline"))
    by_hand = ByHand(db)
    task = await by_hand.claim("pipeline")
    pieces = [text_delta("t1", "x")] * (ROWS_PER_PAGE + 5)
    await by_hand.say(task, Event("text-start", {"id": "t1"}), *pieces)
    first = await looking.follow(SERVER, task.id, after_seq=0)
    assert first is not None
    assert (len(first.events), first.is_all, first.status) == (ROWS_PER_PAGE, False, TaskStatus.PROCESSING)
    rest = await looking.follow(SERVER, task.id, after_seq=0, cursor=ROWS_PER_PAGE + 4)
    assert rest is not None
    assert ([event.seq for event in rest.events], rest.is_all) == (
        [1, ROWS_PER_PAGE + 5, ROWS_PER_PAGE + 6],
        True,
    )


async def test_what_is_no_run_is_not_found(db: Database, looking: Looking) -> None:
    task = await begin(db, uuid4(), kind="chat")
    assert await seen(looking, SERVER, task.id) is None
    assert await seen(looking, SERVER, uuid4()) is None


class Counted(Database):
    """Counts its calls, and has those fail that are told to."""

    calls = 0
    failing = 0

    async def call(self, name: LiteralString, params: Params) -> Rows:
        type(self).calls += 1
        if self.failing:
            self.failing -= 1
            raise DatabaseUnavailable("it is away")
        return await super().call(name, params)


@pytest.fixture
async def counted(database_url: str, db: Database) -> AsyncIterator[Counted]:
    Counted.calls = 0
    async with Counted(database_url) as opened:
        yield opened


async def test_all_who_look_at_once_are_answered_by_a_statement_or_two(
    db: Database, counted: Counted
) -> None:
    task = await begin(db, uuid4())
    looking = Looking(counted)
    looks: Sequence[list[int] | None] = await asyncio.gather(
        *(seen(looking, SERVER, task.id) for _ in range(2 * MOST_LOOKS))
    )
    assert list(looks) == [[]] * (2 * MOST_LOOKS)
    assert counted.calls == 2


async def test_an_outage_is_told_to_all_who_look_and_the_next_look_is_answered(
    db: Database, counted: Counted
) -> None:
    task = await begin(db, uuid4())
    looking = Looking(counted)
    counted.failing = 1
    told = await asyncio.gather(*(seen(looking, SERVER, task.id) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [DatabaseUnavailable] * 3
    assert await seen(looking, SERVER, task.id) == []


async def test_who_gives_up_waiting_takes_no_answer_from_others(db: Database, counted: Counted) -> None:
    task = await begin(db, uuid4())
    looking = Looking(counted)
    looks = [asyncio.create_task(seen(looking, SERVER, task.id)) for _ in range(3)]
    await asyncio.sleep(0)
    looks[1].cancel()
    told = await asyncio.gather(*looks, return_exceptions=True)
    assert told[0] == told[2] == []
    assert isinstance(told[1], asyncio.CancelledError)


async def test_stopping_leaves_nobody_waiting(db: Database, counted: Counted) -> None:
    task = await begin(db, uuid4())
    looking = Looking(counted)
    waiting = asyncio.create_task(seen(looking, SERVER, task.id))
    await asyncio.sleep(0)
    await looking.stop()
    await looking.stop()
    with pytest.raises(asyncio.CancelledError):
        await waiting
