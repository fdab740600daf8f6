"""What comes in: bad input is refused with a sentence a client can read, and workers are woken."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from agent_worker.db.queue import Batch, Queue
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import Connect, Connection, claim_all, claim_new, finish, run, value


async def test_a_row_needs_nothing_but_a_payload(db: Database) -> None:
    task_id = await value(
        db,
        'INSERT INTO public.agent_task_requests (request_payload) VALUES (\'{"prompt": "Hi"}\') RETURNING id',
    )

    row = await read_task(db, task_id)
    assert (row["kind"], row["status"], row["priority"]) == ("chat", "pending", 0)
    assert (row["attempt"], row["max_attempts"], row["timeout_s"]) == (0, 3, None)
    assert row["run_at"] is None
    assert row["created_at"] == row["updated_at"]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"request_payload": "[1]"}, "request_payload must be a JSON object, not a JSON array"),
        ({"request_payload": '"Hi"'}, "request_payload must be a JSON object, not a JSON string"),
        ({"request_payload": "null"}, "request_payload must be a JSON object, not a JSON null"),
        ({"priority": 77}, "priority must be 0 to 9"),
        ({"priority": -1}, "priority must be 0 to 9"),
        ({"max_attempts": 0}, "max_attempts must be 1 to 25"),
        ({"max_attempts": 26}, "max_attempts must be 1 to 25"),
        ({"timeout_s": 0}, "timeout_s must be 1 to 86400 seconds"),
        ({"timeout_s": 86_401}, "timeout_s must be 1 to 86400 seconds"),
        ({"kind": ""}, "kind must have 1 to 64 characters"),
        ({"kind": "k" * 65}, "kind must have 1 to 64 characters"),
        ({"dedupe_key": ""}, "dedupe_key must have 1 to 512 characters"),
        ({"dedupe_key": "k" * 513}, "dedupe_key must have 1 to 512 characters"),
        ({"enterprise_id": "e" * 256}, "enterprise_id must have at most 255 characters"),
        ({"status": "queued"}, "status must be pending when a task is inserted"),
        ({"run_at": "9999-01-01"}, "run_at lies more than 10 years ahead"),
        ({"run_at": "infinity"}, "run_at lies more than 10 years ahead"),
    ],
)
async def test_bad_input_is_refused_with_a_sentence(
    db: Database, columns: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=sentence):
        await insert_task(db, **columns)

    assert await value(db, "SELECT count(*) FROM public.agent_task_requests") == 0


@pytest.mark.parametrize("column", ["kind", "request_payload", "priority", "max_attempts", "status"])
async def test_null_is_refused_where_there_is_a_default(db: Database, column: str) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation, match=f'"{column}"'):
        await insert_task(db, **{column: None})


async def test_a_payload_past_the_limit_is_refused_with_its_size_and_a_hint(db: Database) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="takes 20 MB; the limit is 16 MiB") as caught:
        await run(
            db,
            "INSERT INTO public.agent_task_requests (request_payload) "
            "VALUES (jsonb_build_object('prompt', repeat('x', 20971520)))",
        )

    assert caught.value.diag.message_hint == "Store large input elsewhere and send a link to it."


async def test_a_payload_just_below_the_limit_is_taken_and_claimed(db: Database, queue: Queue) -> None:
    await run(
        db,
        "INSERT INTO public.agent_task_requests (kind, request_payload) "
        "VALUES ('echo', jsonb_build_object('prompt', repeat('x', 16777216 - 100)))",
    )

    (task,) = await claim_all(queue)
    assert len(str(task.request_payload["prompt"])) == 16_777_116


async def test_a_nul_character_is_refused(db: Database) -> None:
    with pytest.raises(psycopg.errors.UntranslatableCharacter, match="unsupported Unicode escape sequence"):
        await insert_task(db, request_payload='{"prompt": "a\\u0000b"}')


async def test_numbers_that_json_does_not_know_are_refused(db: Database) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        await insert_task(db, request_payload='{"n": NaN}')


@pytest.mark.parametrize("run_at", ["2001-01-01", "-infinity", "now"])
async def test_a_run_at_that_is_past_means_now(db: Database, queue: Queue, run_at: str) -> None:
    task_id = await insert_task(db, run_at=run_at)

    (task,) = await claim_all(queue)
    assert task.id == task_id
    assert (await read_task(db, task_id))["run_at"] is None


async def test_a_run_at_ahead_is_kept(db: Database, queue: Queue) -> None:
    task_id = await insert_task(db, run_at="2030-01-01T12:00:00Z")

    assert await claim_all(queue) == []
    assert (await read_task(db, task_id))["run_at"].isoformat().startswith("2030-01-01T12:00:00")


async def test_a_second_live_task_with_the_same_key_is_a_duplicate(db: Database) -> None:
    user_id = uuid4()
    await insert_task(db, user_id=user_id, dedupe_key="report")

    with pytest.raises(psycopg.errors.UniqueViolation, match="agent_task_requests_dedupe_idx"):
        await insert_task(db, user_id=user_id, dedupe_key="report")


async def test_a_second_live_task_with_the_same_key_and_no_user_is_a_duplicate(db: Database) -> None:
    await insert_task(db, user_id=None, dedupe_key="nightly")

    with pytest.raises(psycopg.errors.UniqueViolation):
        await insert_task(db, user_id=None, dedupe_key="nightly")


async def test_the_same_key_is_free_for_another_user_another_kind_and_after_the_end(
    db: Database, queue: Queue
) -> None:
    user_id = uuid4()
    lease = await claim_new(db, queue, user_id=user_id, dedupe_key="report")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await insert_task(db, user_id=user_id, dedupe_key="report")

    await insert_task(db, user_id=uuid4(), dedupe_key="report")
    await insert_task(db, user_id=user_id, dedupe_key="report", kind="other")
    await finish(queue, lease)
    await insert_task(db, user_id=user_id, dedupe_key="report")


async def test_tasks_without_a_key_are_never_duplicates(db: Database) -> None:
    for _ in range(2):
        await insert_task(db, user_id=None)


async def test_an_insert_rings_for_whoever_sleeps_once_a_transaction_and_kind(
    db: Database, connect: Connect
) -> None:
    sleeper = await connect()
    await sleeper.execute("LISTEN agent_worker")
    await sleeper.execute(sql("arm_bell"), {"kinds": ["echo"]})

    await run(db, "INSERT INTO public.agent_task_requests (kind) SELECT 'chat' FROM generate_series(1, 50)")
    await run(db, "INSERT INTO public.agent_task_requests (kind) SELECT 'echo' FROM generate_series(1, 50)")

    notes = [note.payload async for note in sleeper.notifies(timeout=30, stop_after=1)]
    assert notes == ["task echo"]


async def test_nobody_is_rung_for_while_nobody_sleeps(db: Database, connect: Connect) -> None:
    awake = await connect()
    await awake.execute("LISTEN agent_worker")

    await insert_task(db)
    await run(db, "SELECT pg_notify('agent_worker', 'last')")

    notes = [note.payload async for note in awake.notifies(timeout=30, stop_after=1)]
    assert notes == ["last"]


async def test_who_goes_to_sleep_waits_for_the_commits_under_way_and_not_for_open_transactions(
    db: Database, connect: Connect
) -> None:
    """Else a client that leaves a transaction open would keep the whole fleet awake."""
    sleeper, committing, leaving_open = await connect(), await connect(), await connect()
    insert = "INSERT INTO public.agent_task_requests (kind) VALUES ('echo')"
    async with leaving_open.transaction():
        await leaving_open.execute(insert)
        async with committing.transaction():
            await committing.execute(insert)
            await committing.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what a commit begins with
            assert await _arm(sleeper) == []
        assert await _arm(sleeper) == [("echo",)]
        await sleeper.execute("LISTEN agent_worker")
    notes = [note.payload async for note in sleeper.notifies(timeout=30, stop_after=1)]
    assert notes == ["task echo"], "the open one rings at its own commit"


async def test_a_task_that_comes_back_rings_too(db: Database, queue: Queue, connect: Connect) -> None:
    lease = await claim_new(db, queue)
    sleeper = await connect()
    await sleeper.execute("LISTEN agent_worker")
    assert await _arm(sleeper) == [("echo",)]

    await queue.write(Batch(releases=[(lease, 0.0)]))

    notes = [note.payload async for note in sleeper.notifies(timeout=30, stop_after=1)]
    assert notes == ["task echo"]


async def test_a_scheduled_insert_rings_for_the_scheduler_alone(db: Database, connect: Connect) -> None:
    sleeper = await connect()
    await sleeper.execute("LISTEN agent_worker")
    assert await _arm(sleeper) == [("echo",)]

    await insert_task(db, run_at="2030-01-01")
    await run(db, "SELECT pg_notify('agent_worker', 'last')")

    notes = [note.payload async for note in sleeper.notifies(timeout=30, stop_after=2)]
    assert notes == ["schedule", "last"]


async def _arm(sleeper: Connection) -> list[tuple[Any, ...]]:
    cursor = await sleeper.execute(sql("arm_bell"), {"kinds": ["echo"]})
    return await cursor.fetchall()
