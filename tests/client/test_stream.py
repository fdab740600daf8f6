"""Streams: in order, complete, across attempts, to the end."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from agent_worker.client import (
    AsyncClient,
    TaskCancelled,
    TaskEvent,
    TaskFailed,
    TaskNotFound,
    TextPiece,
    WaitTimeout,
)
from agent_worker.db.connection import Database
from agent_worker.db.tasks import EVENTS_PER_PAGE
from agent_worker.domain.events import Event
from tests.client.by_hand import ByHand, cut_connections
from tests.waiting import eventually


class Following:
    """Reads a stream in the background."""

    def __init__(self, client: AsyncClient, events: list[TaskEvent]) -> None:
        self.client = client
        self.events = events

    async def has_seen(self, count: int) -> None:
        async def has() -> bool:
            return len(self.events) >= count

        await eventually(has)

    async def is_listening(self) -> None:
        async def is_up() -> bool:
            return self.client.is_listening

        await eventually(is_up)


async def collect(client: AsyncClient, task_id: UUID, into: list[TaskEvent]) -> None:
    async for event in client.stream(task_id):
        into.append(event)  # noqa: PERF401 - seen one by one, and when the stream fails


async def test_events_come_as_they_are_written_and_the_stream_ends_with_the_task(
    client: AsyncClient, worker: ByHand
) -> None:
    task_id = await client.submit("Hello")
    events: list[TaskEvent] = []
    following = Following(client, events)
    reading = asyncio.create_task(collect(client, task_id, events))
    await following.is_listening()
    task = await worker.claim()
    await worker.begin(task)
    await following.has_seen(1)
    await worker.speak(task, "Hi", " there")
    await following.has_seen(3)
    assert not reading.done()
    await worker.complete(task, {"answer": "Hi there"})
    await reading
    assert [(event.seq, event.type, event.attempt) for event in events] == [
        (1, "attempt-start", 1),
        (2, "text-delta", 1),
        (3, "text-delta", 1),
    ]
    assert (await client.wait(task_id)).answer == "Hi there"


async def test_a_finished_stream_is_replayed_from_any_event(client: AsyncClient, worker: ByHand) -> None:
    task_id = await client.submit("Hello")
    task = await worker.claim()
    await worker.say(task, *(Event("tick", {"n": n}) for n in range(EVENTS_PER_PAGE + 500)))
    await worker.complete(task, {})
    assert [event.data["n"] async for event in client.stream(task_id)] == list(range(EVENTS_PER_PAGE + 500))
    assert [event.data["n"] async for event in client.stream(task_id, after_seq=EVENTS_PER_PAGE + 498)] == [
        EVENTS_PER_PAGE + 498,
        EVENTS_PER_PAGE + 499,
    ]


@pytest.mark.parametrize("count", [0, 1, EVENTS_PER_PAGE])
async def test_a_stream_of_any_length_ends(client: AsyncClient, worker: ByHand, count: int) -> None:
    task_id = await client.submit("Hello")
    task = await worker.claim()
    if count:
        await worker.say(task, *(Event("tick", {"n": n}) for n in range(count)))
    await worker.complete(task, {})
    assert len([event async for event in client.stream(task_id)]) == count


async def test_a_failure_is_raised_after_the_last_event(client: AsyncClient, worker: ByHand) -> None:
    task_id = await client.submit("Hello")
    task = await worker.claim()
    await worker.speak(task, "Hi")
    await worker.fail(task, "no_luck")
    events: list[TaskEvent] = []
    with pytest.raises(TaskFailed, match="no_luck"):
        await collect(client, task_id, events)
    assert [event.type for event in events] == ["text-delta"]
    cancelled = await client.submit("Hello")
    await client.cancel(cancelled)
    with pytest.raises(TaskCancelled):
        await collect(client, cancelled, [])


async def test_an_unknown_task_and_a_passed_deadline_are_told(client: AsyncClient) -> None:
    with pytest.raises(TaskNotFound):
        await anext(client.stream(uuid4()))
    task_id = await client.submit("Hello")
    with pytest.raises(WaitTimeout):
        await anext(client.stream(task_id, timeout_s=0.05))


async def test_text_restarts_with_a_new_attempt(client: AsyncClient, worker: ByHand, db: Database) -> None:
    task_id = await client.submit("Hello")
    first = await worker.claim()
    await worker.begin(first)
    await worker.speak(first, "Good mor")
    await worker.retry(first)
    second = await worker.claim()
    await worker.begin(second)
    await worker.speak(second, "Hi", " there")
    await worker.complete(second, {"answer": "Hi there"})
    pieces = [piece async for piece in client.stream_text(task_id)]
    assert pieces == [
        TextPiece("Good mor"),
        TextPiece("", restarted=True),
        TextPiece("Hi"),
        TextPiece(" there"),
    ]


async def test_text_of_finished_steps_stands_when_an_attempt_begins_anew(
    client: AsyncClient, worker: ByHand
) -> None:
    task_id = await client.submit("Hello")
    first = await worker.claim()
    await worker.begin(first)
    await worker.speak(first, "One. ", step="one")
    await worker.speak(first, "Two, hal", step="two")
    await worker.retry(first)
    second = await worker.claim()
    await worker.begin(second, keep=("one",))
    await worker.speak(second, "Two, whole.", step="two")
    await worker.retry(second)
    third = await worker.claim()
    await worker.begin(third, keep=("one", "two"))
    await worker.complete(third, {})
    pieces = [piece async for piece in client.stream_text(task_id)]
    assert pieces == [
        TextPiece("One. "),
        TextPiece("Two, hal"),
        TextPiece("One. ", restarted=True),
        TextPiece("Two, whole."),
    ]


async def test_text_streams_while_the_task_runs(client: AsyncClient, worker: ByHand) -> None:
    task_id = await client.submit("Hello")
    pieces = client.stream_text(task_id)
    task = await worker.claim()
    await worker.speak(task, "Hi")
    assert await anext(pieces) == TextPiece("Hi")
    await worker.speak(task, " there")
    assert await anext(pieces) == TextPiece(" there")
    await pieces.aclose()


async def test_a_stream_goes_on_after_a_cut_without_loss_or_repetition(
    client: AsyncClient, worker: ByHand, db: Database
) -> None:
    task_id = await client.submit("Hello")
    events: list[TaskEvent] = []
    following = Following(client, events)
    reading = asyncio.create_task(collect(client, task_id, events))
    await following.is_listening()
    task = await worker.claim()
    for n in range(10):
        await worker.say(task, Event("tick", {"n": n}))
        if n % 3 == 0:
            await cut_connections(db, listening=n % 2 == 0)
            await db.fetch_value("SELECT 1")
    await worker.complete(task, {})
    await asyncio.wait_for(reading, 20.0)
    assert [event.data["n"] for event in events] == list(range(10))


async def test_ten_readers_of_one_stream_see_the_same(client: AsyncClient, worker: ByHand) -> None:
    task_id = await client.submit("Hello")
    seen: list[list[TaskEvent]] = [[] for _ in range(10)]
    readers = [asyncio.create_task(collect(client, task_id, events)) for events in seen]
    await Following(client, []).is_listening()
    task = await worker.claim()
    for n in range(20):
        await worker.say(task, Event("tick", {"n": n}))
    await worker.complete(task, {})
    await asyncio.gather(*readers)
    assert all(events == seen[0] for events in seen)
    assert [event.data["n"] for event in seen[0]] == list(range(20))


async def test_a_stream_of_a_task_that_is_run_again_goes_on(
    client: AsyncClient, worker: ByHand, db: Database
) -> None:
    """A person retries the task between its end and the reader's look at the outcome: the new attempts belong to it."""
    task_id = await client.submit("Hello")
    task = await worker.claim()
    await worker.begin(task)
    await worker.fail(task, "no_luck")
    stream = client.stream(task_id)
    assert (await anext(stream)).type == "attempt-start"
    await db.fetch_value(
        "UPDATE agent_task_requests SET status = 'pending' WHERE id = %(id)s RETURNING 1", {"id": task_id}
    )
    again = await worker.claim()
    following = asyncio.create_task(anext(stream))
    await worker.begin(again)
    assert (await following).attempt == 2
    await worker.complete(again, {})
    assert [event async for event in stream] == []
