"""Any number of followers: one listening connection, one poll, and nothing is missed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.following import Ear, Followers
from agent_worker.db.tasks import EVENTS_PER_PAGE, Tasks
from agent_worker.domain.client_errors import TaskNotFound, WaitTimeout
from agent_worker.domain.events import Event
from agent_worker.domain.records import NewTask
from tests.client.by_hand import ByHand, cut_connections, listeners
from tests.waiting import eventually

FOLLOWERS = 60


@pytest.fixture
async def followers(db: Database) -> AsyncIterator[Followers]:
    """Followers that depend on notifications: their poll comes after the tests' patience has ended."""
    followed = Followers(db, poll_s=60.0)
    yield followed
    await followed.stop()


@pytest.fixture
def worker(db: Database) -> ByHand:
    return ByHand(db)


async def submit(db: Database) -> UUID:
    return await Tasks(db).submit(NewTask(request_payload={"prompt": "Hello"}))


async def read(followers: Followers, task_id: UUID, into: list[int], *, after_seq: int = 0) -> None:
    async for page in followers.pages(task_id, after_seq=after_seq):
        into += [event.seq for event in page.events]


async def is_up(followers: Followers) -> None:
    async def connected() -> bool:
        return followers.is_connected

    await eventually(connected)


async def test_many_followers_share_a_connection_and_all_hear_everything(
    followers: Followers, worker: ByHand, db: Database
) -> None:
    task_id = await submit(db)
    heard: list[list[int]] = [[] for _ in range(FOLLOWERS)]
    reading = [asyncio.create_task(read(followers, task_id, each)) for each in heard]
    await is_up(followers)
    task = await worker.claim()
    await worker.begin(task)
    await worker.speak(task, "Hi", " there")
    assert await listeners(db) == 1
    await worker.complete(task, {"answer": "Hi there"})
    async with asyncio.timeout(30):
        await asyncio.gather(*reading)
    assert heard == [[1, 2, 3]] * FOLLOWERS
    assert followers.count == 0


async def test_the_last_page_tells_the_end_also_where_nothing_was_said(
    followers: Followers, worker: ByHand, db: Database
) -> None:
    task_id = await submit(db)
    await worker.complete(await worker.claim(), {})
    pages = [page async for page in followers.pages(task_id)]
    assert [(page.events, page.is_end) for page in pages] == [((), True)]


async def test_a_long_stream_comes_in_pages_from_any_event_on(
    followers: Followers, worker: ByHand, db: Database
) -> None:
    task_id = await submit(db)
    task = await worker.claim()
    await worker.say(task, *(Event("tick", {}) for _ in range(EVENTS_PER_PAGE)))
    await worker.complete(task, {})
    whole: list[int] = []
    await read(followers, task_id, whole)
    assert whole == list(range(1, EVENTS_PER_PAGE + 1))
    rest: list[int] = []
    await read(followers, task_id, rest, after_seq=EVENTS_PER_PAGE - 2)
    assert rest == whole[-2:]


async def test_a_follower_without_news_is_given_time_for_a_heartbeat(
    followers: Followers, worker: ByHand, db: Database
) -> None:
    task_id = await submit(db)
    task = await worker.claim()
    await worker.begin(task)
    async with contextlib.aclosing(followers.pages(task_id, idle_s=0.02)) as pages:
        assert [event.seq for event in (await anext(pages)).events] == [1]
        for _ in range(3):
            page = await anext(pages)
            assert (page.events, page.is_end) == ((), False)
        await worker.speak(task, "Hi")
        while not (page := await anext(pages)).events:
            pass
        assert [event.seq for event in page.events] == [2]


async def test_following_ends_with_its_time_and_with_the_task_that_is_gone(
    followers: Followers, db: Database
) -> None:
    with pytest.raises(TaskNotFound):
        await anext(followers.pages(uuid4()))
    task_id = await submit(db)
    with pytest.raises(WaitTimeout):
        await anext(followers.pages(task_id, timeout_s=0.05))


async def test_without_notifications_one_look_at_all_finds_the_news(db: Database, worker: ByHand) -> None:
    followers = Followers(db, poll_s=0.05)
    quiet, ended, gone, spoke = [await submit(db) for _ in range(4)]
    task = await worker.claim()
    assert task.id == quiet
    await worker.complete(await worker.claim(), {})
    with contextlib.ExitStack() as stack:
        ears: dict[UUID, Ear] = {}
        for task_id in (quiet, ended, gone, spoke):
            ears[task_id] = stack.enter_context(followers.of(task_id))
            ears[task_id].seen = 0
        await db.fetch_value("DELETE FROM agent_task_requests WHERE id = %(id)s RETURNING id", {"id": gone})
        await worker.say(await worker.claim(), Event("tick", {}))
        await followers._look_at_all()
        called = {task_id: await ear.pause(0) for task_id, ear in ears.items()}
        assert called == {quiet: False, ended: True, gone: True, spoke: True}
        ears[spoke].seen = 1
        await followers._look_at_all()
        assert not await ears[spoke].pause(0), "what the follower has seen is no news"


async def test_what_was_said_while_the_listener_was_away_is_heard(
    followers: Followers, worker: ByHand, db: Database
) -> None:
    task_id = await submit(db)
    heard: list[int] = []
    reading = asyncio.create_task(read(followers, task_id, heard))
    await is_up(followers)
    task = await worker.claim()
    assert await cut_connections(db, listening=True) == 1
    await worker.begin(task)
    await worker.complete(task, {})
    async with asyncio.timeout(30):
        await reading
    assert heard == [1]
