"""The client against real tables, with a worker led by hand: submit, wait, cancel, outages, closing."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from agent_worker.client import (
    AsyncClient,
    DuplicateTask,
    QuestionClosed,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
    TaskRefused,
    TaskStatus,
    WaitTimeout,
)
from agent_worker.db.connection import Database
from agent_worker.db.tasks import Tasks
from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from tests.client.by_hand import ByHand, Wire, cut_connections, listeners
from tests.waiting import eventually


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Wire]:
    async with Wire(database_url).open() as opened:
        yield opened


async def hears(client: AsyncClient, db: Database) -> None:
    """Wait until the client's listener is up."""

    async def is_up() -> bool:
        return client.is_listening and await listeners(db) == 1

    await eventually(is_up)


class TestSubmit:
    async def test_a_prompt_is_short_for_a_payload(self, client: AsyncClient, db: Database) -> None:
        task_id = await client.submit("Hello", priority=4, max_attempts=2)
        record = await Tasks(db).get(task_id)
        assert record is not None
        assert (record.kind, record.request_payload) == ("chat", {"prompt": "Hello"})
        assert (record.priority, record.max_attempts) == (4, 2)

    async def test_a_payload_goes_as_it_is(self, client: AsyncClient, db: Database) -> None:
        (task_id, _) = await client.submit_many([{"a": [1, 2]}, {}], kind="sum")
        record = await Tasks(db).get(task_id)
        assert record is not None
        assert (record.kind, record.request_payload) == ("sum", {"a": [1, 2]})

    async def test_refusals_and_duplicates_are_told(self, client: AsyncClient) -> None:
        with pytest.raises(TaskRefused, match="priority must be 0 to 9"):
            await client.submit("Hello", priority=11)
        first = await client.submit("Hello", dedupe_key="once")
        with pytest.raises(DuplicateTask) as duplicate:
            await client.submit("Hello", dedupe_key="once")
        assert duplicate.value.task_id == first
        with pytest.raises(DuplicateTask):
            await client.submit("Hello", id=first)

    async def test_a_reply_lost_after_the_commit_does_not_insert_twice(
        self, wire: Wire, db: Database
    ) -> None:
        async with AsyncClient(wire.url, pool_size=1) as client:  # no other connection is just being made
            await client.submit("warm up")
            wire.lose_replies()
            submitting = asyncio.create_task(client.submit("Hello", dedupe_key="once"))

            async def is_written() -> bool:
                return bool(await db.fetch_value("SELECT count(*) = 2 FROM agent_task_requests"))

            await eventually(is_written)
            wire.keep_replies()
            await cut_connections(db, listening=False)
            task_id = await submitting
        ids = await db.fetch_all("SELECT id FROM agent_task_requests WHERE dedupe_key = 'once'")
        assert ids == [(task_id,)]


class TestWait:
    async def test_an_answer_is_heard_without_polling(
        self, client: AsyncClient, worker: ByHand, db: Database
    ) -> None:
        task_id = await client.submit("Hello")
        waiting = asyncio.create_task(client.wait(task_id))
        await hears(client, db)
        await worker.complete(await worker.claim(), {"answer": "Hi", "usage": {}})
        result = await waiting
        assert (result.id, result.kind, result.status) == (task_id, "chat", TaskStatus.COMPLETED)
        assert (result.answer, result.response, result.attempts) == ("Hi", {"answer": "Hi", "usage": {}}, 1)
        assert result.finished_at is not None

    async def test_a_task_that_has_ended_is_there_at_once(self, client: AsyncClient, worker: ByHand) -> None:
        task_id = await client.submit("Hello")
        await worker.complete(await worker.claim(), {"answer": "Hi"})
        assert (await client.wait(task_id)).answer == "Hi"

    async def test_run_submits_and_waits(self, client: AsyncClient, worker: ByHand, db: Database) -> None:
        running = asyncio.create_task(client.run({"prompt": "Hello"}, kind="chat"))
        await hears(client, db)
        await worker.complete(await worker.claim(), {"answer": "Hi"})
        assert (await running).answer == "Hi"

    async def test_a_failure_is_raised_with_its_code(self, client: AsyncClient, worker: ByHand) -> None:
        task_id = await client.submit("Hello")
        await worker.fail(await worker.claim(), "rate_limited", retryable=True)
        with pytest.raises(TaskFailed, match=r"^It failed: rate_limited\.$") as failed:
            await client.wait(task_id)
        assert (failed.value.code, failed.value.retryable, failed.value.result.id) == (
            "rate_limited",
            True,
            task_id,
        )

    async def test_a_cancelled_task_is_a_failure_of_its_own_kind(
        self, client: AsyncClient, db: Database
    ) -> None:
        task_id = await client.submit("Hello")
        waiting = asyncio.create_task(client.wait(task_id))
        await hears(client, db)
        assert await client.cancel(task_id) is TaskStatus.CANCELLED
        with pytest.raises(TaskCancelled) as cancelled:
            await waiting
        assert cancelled.value.code == "cancelled"
        assert await client.cancel(task_id) is TaskStatus.CANCELLED, "twice is fine"

    async def test_a_task_failed_by_hand_without_a_response_is_told(
        self, client: AsyncClient, db: Database
    ) -> None:
        task_id = await client.submit("Hello")
        await db.fetch_value(
            "UPDATE agent_task_requests SET status = 'failed', finished_at = now() WHERE id = %(id)s RETURNING id",
            {"id": task_id},
        )
        with pytest.raises(TaskFailed, match="The task ended as failed") as failed:
            await client.wait(task_id)
        assert (failed.value.code, failed.value.retryable) == ("failed", False)

    async def test_an_unknown_task_is_told(self, client: AsyncClient) -> None:
        for call in (client.wait(uuid4()), client.look(uuid4()), client.cancel(uuid4())):
            with pytest.raises(TaskNotFound, match="there is no task"):
                await call

    async def test_a_timeout_is_a_timeout_error_and_leaves_the_task_alone(self, client: AsyncClient) -> None:
        task_id = await client.submit("Hello")
        with pytest.raises(TimeoutError) as timeout:
            await client.wait(task_id, timeout_s=0.05)
        assert isinstance(timeout.value, WaitTimeout)
        assert "has not ended within 0.05 s · it goes on" in str(timeout.value)
        assert (await client.look(task_id)).status is TaskStatus.PENDING

    async def test_a_cancelled_wait_leaves_the_task_and_the_other_waits_alone(
        self, client: AsyncClient, worker: ByHand, db: Database
    ) -> None:
        task_id = await client.submit("Hello")
        waits = [asyncio.create_task(client.wait(task_id)) for _ in range(5)]
        await hears(client, db)
        for wait in waits[1:]:
            wait.cancel()
        await asyncio.gather(*waits[1:], return_exceptions=True)
        assert all(wait.cancelled() for wait in waits[1:])
        await worker.complete(await worker.claim(), {"answer": "Hi"})
        assert (await waits[0]).answer == "Hi"

    async def test_a_wait_can_be_cancelled_at_any_moment(self, database_url: str, db: Database) -> None:
        """Also while it waits for a connection and is just being handed one."""
        async with AsyncClient(database_url, pool_size=1, poll_s=60.0) as client:
            task_id = await client.submit("Hello")
            for moment in range(100):
                waits = [asyncio.create_task(client.wait(task_id)) for _ in range(3)]
                for _ in range(moment):
                    await asyncio.sleep(0)
                for wait in waits:
                    wait.cancel()
                _, stuck = await asyncio.wait(waits, timeout=30.0)
                assert not stuck, f"after {moment} steps of the loop"

    async def test_fifty_waits_share_one_listener(
        self, client: AsyncClient, worker: ByHand, db: Database
    ) -> None:
        ids = await client.submit_many([{"n": n} for n in range(50)])
        waits = [asyncio.create_task(client.wait(task_id)) for task_id in ids]
        await hears(client, db)
        for _ in ids:
            task = await worker.claim()
            await worker.complete(task, {"answer": str(task.request_payload["n"])})
        assert [(await wait).answer for wait in waits] == [str(n) for n in range(50)]
        assert await listeners(db) == 1

    async def test_an_end_between_look_and_pause_is_not_missed(
        self, client: AsyncClient, worker: ByHand, db: Database
    ) -> None:
        """Tasks end as fast as they are awaited; with a poll of a minute, one lost wake-up would hang."""
        first = await client.submit("first")
        waiting = asyncio.create_task(client.wait(first))
        await hears(client, db)
        await worker.complete(await worker.claim(), {})
        await waiting
        for n in range(100):
            task_id = await client.submit("Hello")
            task = await worker.claim()
            waiting = asyncio.create_task(client.wait(task_id))
            for _ in range(n % 10):
                await asyncio.sleep(0)
            await worker.complete(task, {"answer": str(n)})
            assert (await asyncio.wait_for(waiting, 30.0)).answer == str(n)


class TestOutage:
    async def test_wait_ends_by_poll_when_notifications_do_not_arrive(
        self, wire: Wire, worker: ByHand, db: Database
    ) -> None:
        wire.replace(b'LISTEN "agent_worker_events"', b"SELECT 'gone'".ljust(28))
        async with AsyncClient(wire.url, poll_s=0.05) as client:
            task_id = await client.submit("Hello")
            waiting = asyncio.create_task(client.wait(task_id))
            await worker.complete(await worker.claim(), {"answer": "Hi"})
            assert (await waiting).answer == "Hi"
            assert not client.is_listening

    async def test_an_end_while_the_listener_was_away_is_seen_when_it_is_back(
        self, client: AsyncClient, worker: ByHand, db: Database
    ) -> None:
        task_id = await client.submit("Hello")
        waiting = asyncio.create_task(client.wait(task_id))
        await hears(client, db)
        task = await worker.claim()
        async with db.connection() as conn, conn.transaction():
            await conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name LIKE '% listener' AND pid <> pg_backend_pid()"
            )
            await worker.complete(task, {"answer": "Hi"})
        assert (await waiting).answer == "Hi"

    async def test_a_wait_rides_out_a_cut_of_every_connection(
        self, client: AsyncClient, worker: ByHand, db: Database
    ) -> None:
        task_id = await client.submit("Hello")
        waits = [asyncio.create_task(client.wait(task_id)) for _ in range(10)]
        await hears(client, db)
        task = await worker.claim()
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        await db.fetch_value(query)
        await hears(client, db)
        await worker.complete(task, {"answer": "Hi"})
        assert {(await wait).answer for wait in waits} == {"Hi"}

    async def test_a_wrong_address_is_told_on_entering(self) -> None:
        with pytest.raises(DatabaseUnavailable, match="postgres is not reachable"):
            async with AsyncClient("postgresql://postgres@127.0.0.1:1/nowhere"):
                pass

    async def test_patience_ends(self) -> None:
        client = AsyncClient("postgresql://postgres@127.0.0.1:1/nowhere", patience_s=0.1)
        with pytest.raises(DatabaseUnavailable, match="postgres is not reachable"):
            await client.submit("Hello")
        await client.close()


class TestClose:
    async def test_a_client_needs_no_block_and_connects_with_its_first_call(
        self, database_url: str, worker: ByHand
    ) -> None:
        client = AsyncClient(database_url)
        task_id = await client.submit("Hello")
        await worker.complete(await worker.claim(), {"answer": "Hi"})
        assert (await client.wait(task_id)).answer == "Hi"
        await client.close()
        await client.close()

    async def test_what_still_waits_is_told_that_the_client_is_closed(
        self, database_url: str, db: Database
    ) -> None:
        async with AsyncClient(database_url, poll_s=60.0) as client:
            waiting = asyncio.create_task(client.wait(await client.submit("Hello")))
            await hears(client, db)
        with pytest.raises(RuntimeError, match="this client is closed"):
            await waiting
        with pytest.raises(RuntimeError, match="this client is closed"):
            await client.submit("Hello")

    async def test_an_unused_client_closes(self, database_url: str) -> None:
        await AsyncClient(database_url).close()

    async def test_closing_is_prompt_on_a_half_open_connection(self, wire: Wire, db: Database) -> None:
        async with AsyncClient(wire.url, poll_s=60.0) as client:
            waiting = asyncio.create_task(client.wait(await client.submit("Hello")))
            await hears(client, db)
            wire.freeze()
            started = time.monotonic()
        assert time.monotonic() - started < 20.0, "sooner than the next poll"
        with pytest.raises(RuntimeError, match="this client is closed"):
            await waiting

    async def test_nothing_is_left_open(self, database_url: str, db: Database) -> None:
        """Warnings are errors in this suite, the ResourceWarning of a connection left open among them."""
        async with AsyncClient(database_url) as client:
            task_id = await client.submit("Hello")
            with pytest.raises(WaitTimeout):
                await client.wait(task_id, timeout_s=0.05)
            with pytest.raises(TaskCancelled):
                async for _ in client.stream(await _ended(client)):
                    pass
        del client
        gc.collect()
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE '%%pg_stat_activity%%'"

        async def are_gone() -> bool:
            return bool(await db.fetch_value(others, {}) == 0)

        await eventually(are_gone)


async def test_questions_are_read_and_answered(client: AsyncClient, worker: ByHand) -> None:
    task_id = await client.submit("Hello")
    await worker.ask(await worker.claim())
    assert (await client.look(task_id)).status is TaskStatus.WAITING
    (question,) = await client.questions(task_id)
    assert (question.key, question.status) == ("ok", "pending")
    await client.answer(question.id, {"approved": True})
    with pytest.raises(QuestionClosed):
        await client.answer(question.id, {"approved": False})
    task = await worker.claim()
    assert task.id == task_id


async def test_the_environment_names_the_database(
    database_url: str, worker: ByHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with AsyncClient.from_env() as client:
        assert (await client.look(await client.submit("Hello"))).status is TaskStatus.PENDING
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigurationError, match="DATABASE_URL is not set"):
        AsyncClient.from_env()


async def _ended(client: AsyncClient) -> UUID:
    task_id = await client.submit("Hello")
    await client.cancel(task_id)
    return task_id
