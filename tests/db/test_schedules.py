"""Schedules in the database: every slot fires once, whoever looks and whatever somebody does to the row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database
from agent_worker.db.firing import Firing
from agent_worker.db.schedules import Schedules
from agent_worker.domain.client_errors import (
    DuplicateSchedule,
    InvalidSchedule,
    ScheduleNotFound,
    TaskRefused,
)
from agent_worker.domain.records import NewSchedule
from agent_worker.domain.schedule import Decision, decide
from agent_worker.testing.postgres import TestDatabases
from agent_worker.worker.cron import BATCH, Cron
from tests.db.steps import Connect, acting_as, rows, run, user, value

YEARLY = "0 0 1 1 *"  # so that no slot comes while a test runs
MINUTELY = "* * * * *"


@pytest.fixture
def schedules(db: Database) -> Schedules:
    return Schedules(db)


@pytest.fixture
def firing(db: Database) -> Firing:
    return Firing(db)


@pytest.fixture
def cron(firing: Firing) -> Cron:
    """What a worker runs."""
    return Cron(firing)


async def insert(db: Database, name: str = "report", **columns: Any) -> None:
    """Insert a schedule by hand; it has been due for a year unless told otherwise."""
    given = {"name": name, "cron": YEARLY, "kind": "echo", "next_fire_at": await ago(db, days=400), **columns}
    query = sql.SQL("INSERT INTO agent_worker.schedules ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Placeholder, given))
    )
    async with db.connection() as conn:
        await conn.execute(query, given)


async def ago(db: Database, **span: float) -> datetime:
    now: datetime = await value(db, "SELECT now()")
    return now - timedelta(**span)


async def row(db: Database, name: str = "report") -> dict[str, Any]:
    found: dict[str, Any] = await value(
        db, "SELECT to_jsonb(s) FROM agent_worker.schedules s WHERE name = %(name)s", name=name
    )
    return found


async def tasks(db: Database) -> list[tuple[Any, ...]]:
    return await rows(db, "SELECT id, kind FROM agent_task_requests ORDER BY kind")


async def test_a_due_slot_inserts_its_task_with_everything_the_schedule_says(
    db: Database, cron: Cron
) -> None:
    user_id = uuid4()
    await insert(
        db,
        kind="chat",
        request_payload=Jsonb({"prompt": "Good morning"}),
        priority=7,
        enterprise_id="acme",
        user_id=user_id,
        timeout_s=60,
        max_attempts=5,
    )

    (fired,) = (await cron.run_once()).done

    columns = (
        "id, kind, status, request_payload, priority, enterprise_id, user_id, timeout_s, max_attempts, run_at"
    )
    (task,) = await rows(db, f"SELECT {columns} FROM agent_task_requests")
    payload = {"prompt": "Good morning"}
    assert task == (fired.task_id, "chat", "pending", payload, 7, "acme", user_id, 60, 5, None)
    schedule = await row(db)
    assert schedule["last_task_id"] == str(fired.task_id)
    assert datetime.fromisoformat(schedule["last_slot"]) == fired.slot
    assert datetime.fromisoformat(schedule["next_fire_at"]) > await ago(db)


async def test_twenty_workers_at_one_due_slot_insert_one_task(database_url: str, db: Database) -> None:
    await insert(db)
    async with Database(database_url, max_size=20) as many:
        workers = [Cron(Firing(many)) for _ in range(20)]
        found = await asyncio.gather(*(worker.run_once() for worker in workers))

    assert len(await tasks(db)) == 1
    assert sum(fired.task_id is not None for done in found for fired in done.done) == 1


async def test_twenty_workers_fire_two_hundred_schedules_once_each(database_url: str, db: Database) -> None:
    await run(
        db,
        "INSERT INTO agent_worker.schedules (name, cron, kind, next_fire_at)"
        " SELECT 'n' || n, %(cron)s, 'k' || n, now() - interval '400 days' FROM generate_series(1, 200) n",
        cron=YEARLY,
    )

    async def work(cron: Cron) -> None:
        while (await cron.run_once()).done:
            pass

    async with Database(database_url, max_size=20) as many:
        for _ in range(2):  # who finds all rows locked has nothing to do
            await asyncio.gather(*(work(Cron(Firing(many))) for _ in range(20)))

    kinds = [kind for _, kind in await tasks(db)]
    assert sorted(kinds) == sorted(f"k{n}" for n in range(1, 201))


async def test_slots_missed_in_an_outage_fire_once(db: Database, cron: Cron) -> None:
    await insert(db, cron=MINUTELY, next_fire_at=await ago(db, days=30))

    (fired,) = (await cron.run_once()).done

    assert len(await tasks(db)) == 1
    assert fired.slot is not None
    assert await ago(db, minutes=2) < fired.slot <= await ago(db)


CLOCK_STEPPED_BACK = "UPDATE agent_worker.schedules SET next_fire_at = next_fire_at - interval '500 days'"
RESTORED = """
    UPDATE agent_worker.schedules
    SET next_fire_at = next_fire_at - interval '500 days', last_slot = NULL, last_task_id = NULL
"""


@pytest.mark.parametrize("edit", [CLOCK_STEPPED_BACK, RESTORED])
async def test_a_slot_never_fires_again_whatever_becomes_of_the_row(
    db: Database, cron: Cron, edit: str
) -> None:
    await insert(db)
    (fired,) = (await cron.run_once()).done

    await run(db, edit)
    (again,) = (await cron.run_once()).done

    assert again.task_id is None
    assert len(await tasks(db)) == 1
    assert datetime.fromisoformat((await row(db))["last_slot"]) == fired.slot
    assert datetime.fromisoformat((await row(db))["next_fire_at"]) > await ago(db)


async def test_a_schedule_deleted_and_written_again_does_not_repeat_its_slot(
    db: Database, cron: Cron
) -> None:
    await insert(db)
    await cron.run_once()

    await run(db, "DELETE FROM agent_worker.schedules")
    await insert(db)
    await cron.run_once()

    assert len(await tasks(db)) == 1


async def test_the_database_refuses_a_slot_that_its_clock_has_not_reached(
    db: Database, firing: Firing
) -> None:
    """A worker that read the time before the clock stepped back."""
    await insert(db, cron=MINUTELY)
    (seen,) = await firing.upcoming(limit=1)
    ahead = seen.now + timedelta(hours=2)

    await firing.fire([(seen, decide(seen.timing, ahead))])

    assert await tasks(db) == []


async def test_the_database_refuses_a_slot_up_to_the_last_one_though_its_task_is_pruned(
    db: Database, firing: Firing, cron: Cron
) -> None:
    await insert(db)
    (fired,) = (await cron.run_once()).done
    await run(db, "DELETE FROM agent_task_requests")
    (seen,) = await firing.upcoming(limit=1)

    await firing.fire([(seen, Decision(fired.slot, seen.now + timedelta(days=1)))])

    assert await tasks(db) == []


async def test_what_another_worker_did_first_is_left_out(db: Database, firing: Firing) -> None:
    await insert(db)
    (seen,) = await firing.upcoming(limit=1)
    decided = [(seen, decide(seen.timing, seen.now))]

    (first,) = await firing.fire(decided)

    assert first.task_id is not None
    assert await firing.fire(decided) == []


async def test_a_user_who_guesses_a_slots_id_does_not_keep_it_from_firing(db: Database, cron: Cron) -> None:
    await insert(db, kind="chat")
    await cron.run_once()
    ((slot_id, _),) = await tasks(db)
    await run(db, "DELETE FROM agent_task_requests")
    await run(db, RESTORED)

    stranger = uuid4()
    async with acting_as(db, "authenticated", user(stranger)) as conn:
        await conn.execute("INSERT INTO agent_task_requests (id, kind) VALUES (%s, 'echo')", [slot_id])
    await cron.run_once()

    assert [kind for _, kind in await tasks(db)] == ["chat", "echo"]


async def test_a_row_written_by_hand_is_worked_out_by_the_first_worker_that_sees_it(
    db: Database, cron: Cron
) -> None:
    await run(db, "INSERT INTO agent_worker.schedules (name, cron, kind) VALUES ('report', '@daily', 'echo')")

    round_ = await cron.run_once()

    tomorrow = (await ago(db, days=-1)).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert datetime.fromisoformat((await row(db))["next_fire_at"]) == tomorrow
    assert await tasks(db) == []
    assert round_.next_due_s is not None
    assert 0 < round_.next_due_s <= 86_400


@pytest.mark.parametrize(
    "edit", ["cron = '30 3 1 1 *'", "timezone = 'Asia/Tokyo'", "cron = '30 3 1 1 *', timezone = 'Asia/Tokyo'"]
)
async def test_a_cron_or_zone_changed_by_hand_is_worked_out_anew(db: Database, cron: Cron, edit: str) -> None:
    await insert(db, cron="30 3 1 2 *", next_fire_at=await ago(db, days=-200))
    await cron.run_once()
    before = (await row(db))["next_fire_at"]

    await run(db, f"UPDATE agent_worker.schedules SET {edit}")
    assert (await row(db))["next_fire_at"] is None
    await cron.run_once()

    after = (await row(db))["next_fire_at"]
    assert after not in {None, before}
    assert await tasks(db) == []


async def test_a_schedule_that_is_off_fires_nothing_and_makes_up_for_nothing(
    db: Database, cron: Cron
) -> None:
    await insert(db, enabled=False)
    assert (await cron.run_once()).done == ()

    await run(db, "UPDATE agent_worker.schedules SET enabled = true")
    await cron.run_once()

    assert await tasks(db) == []
    assert datetime.fromisoformat((await row(db))["next_fire_at"]) > await ago(db)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"cron": "61 * * * *"}, "bad minute"),
        ({"timezone": "Mars/Olympus"}, "there is no time zone 'Mars/Olympus'"),
        ({"cron": "every day"}, "has not five fields"),
    ],
)
async def test_a_row_that_means_nothing_rests_with_its_reason_and_harms_no_other(
    db: Database, cron: Cron, bad: dict[str, Any], reason: str
) -> None:
    await insert(db, "bad", **bad)
    await insert(db, "good")

    await cron.run_once()

    assert reason in (await row(db, "bad"))["error"]
    assert (await row(db, "good"))["error"] is None
    assert len(await tasks(db)) == 1
    assert (await cron.run_once()).done == (), "it is not looked at again"

    await run(db, "UPDATE agent_worker.schedules SET cron = '@daily', timezone = 'UTC' WHERE name = 'bad'")
    await cron.run_once()
    assert ((await row(db, "bad"))["error"], (await row(db, "bad"))["next_fire_at"] is None) == (None, False)


@pytest.fixture
def own_database_url(databases: TestDatabases) -> Iterator[str]:
    """A database whose schema the test may change."""
    with databases.migrated() as url:
        yield url


STRANGE_RULE = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'no tasks of this kind on a Sunday'; END $$;
    CREATE TRIGGER strange BEFORE INSERT ON public.agent_task_requests
    FOR EACH ROW WHEN (new.kind = 'strange') EXECUTE FUNCTION public.refuse();
"""


async def test_a_task_that_is_refused_harms_no_other_and_the_next_slot_tries_again(
    own_database_url: str,
) -> None:
    """Somebody's own trigger stands for every rule that a schedule's row cannot know."""
    async with Database(own_database_url) as db:
        cron = Cron(Firing(db))
        await run(db, STRANGE_RULE)
        await insert(db, "strange", kind="strange")
        await insert(db, "good")

        await cron.run_once()

        assert [kind for _, kind in await tasks(db)] == ["echo"]
        assert (await row(db, "strange"))["error"] == "no tasks of this kind on a Sunday"
        assert (await row(db, "strange"))["last_slot"] is None
        assert datetime.fromisoformat((await row(db, "strange"))["next_fire_at"]) > await ago(db)

        await run(db, "DROP TRIGGER strange ON public.agent_task_requests")
        await run(
            db,
            "UPDATE agent_worker.schedules SET next_fire_at = %(at)s WHERE error <> ''",
            at=await ago(db, days=400),
        )
        await cron.run_once()

        assert [kind for _, kind in await tasks(db)] == ["echo", "strange"]
        assert (await row(db, "strange"))["error"] is None


@pytest.mark.parametrize("column", ["next_fire_at", "created_at", "last_slot"])
@pytest.mark.parametrize("moment", ["infinity", "-infinity", "20000-01-01", "1000-01-01 BC"])
async def test_a_time_that_no_worker_could_read_is_refused(db: Database, column: str, moment: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="times must lie between the years 1970 and 9000"):
        await insert(db, **{column: moment})


async def test_a_row_that_somebody_holds_delays_no_other(db: Database, cron: Cron, connect: Connect) -> None:
    await insert(db, "held")
    await insert(db, "free")
    conn = await connect()
    async with conn.transaction():
        await conn.execute("SELECT 1 FROM agent_worker.schedules WHERE name = 'held' FOR UPDATE")
        first = await cron.run_once()
    second = await cron.run_once()

    assert [fired.name for fired in first.done] == ["free"]
    assert cron.delay_after(first) > 0, "it does not spin"
    assert [fired.name for fired in second.done] == ["held"]


async def test_a_change_under_way_is_not_fired_by_the_old_row(db: Database, firing: Firing) -> None:
    await insert(db)
    (seen,) = await firing.upcoming(limit=1)
    await run(db, "UPDATE agent_worker.schedules SET cron = '@monthly'")

    assert await firing.fire([(seen, decide(seen.timing, seen.now))]) == []
    assert await tasks(db) == []


async def test_a_full_round_repeats_at_once(db: Database, cron: Cron) -> None:
    await run(
        db,
        "INSERT INTO agent_worker.schedules (name, cron) SELECT n, '@yearly' FROM generate_series(1, %(n)s) n",
        n=BATCH,
    )

    assert cron.delay_after(await cron.run_once()) == 0
    assert cron.delay_after(await cron.run_once()) == cron.interval_s


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO agent_worker.schedules (name, cron) VALUES ('new', '@daily')",
        "UPDATE agent_worker.schedules SET cron = '@weekly'",
        "UPDATE agent_worker.schedules SET enabled = false",
    ],
)
async def test_writing_a_schedule_rings_and_firing_one_does_not(
    db: Database, cron: Cron, connect: Connect, change: str
) -> None:
    await insert(db)
    ear = await connect()
    await ear.execute("LISTEN agent_worker")

    await cron.run_once()
    await run(db, change)
    await run(db, "NOTIFY agent_worker, 'end'")

    heard = []
    async for notification in ear.notifies(timeout=30):
        if notification.payload == "end":
            break
        heard.append(notification.payload)
    assert heard == ["schedule"], "nobody sleeps, so the task it inserted rings for nobody"


# What people write


async def test_add_works_out_the_next_slot_and_refuses_a_second_of_the_name(
    db: Database, schedules: Schedules
) -> None:
    new = NewSchedule(name="report", cron="0 7 * * 1-5", timezone="Europe/Berlin", kind="echo")

    added = await schedules.add(new)

    assert added.next_fire_at is not None
    assert added.next_fire_at > added.created_at
    with pytest.raises(DuplicateSchedule, match=r"agent-worker schedules remove.*--replace"):
        await schedules.add(new)
    assert await schedules.all() == [added]


async def test_replace_writes_over_a_schedule_and_keeps_what_has_fired(
    db: Database, schedules: Schedules
) -> None:
    await insert(db, cron="61 * * * *", enabled=False, last_slot=await ago(db, hours=5))
    before = await row(db)

    replaced = await schedules.replace(NewSchedule(name="report", cron="@hourly", kind="chat", priority=3))

    assert (replaced.cron, replaced.kind, replaced.priority) == ("@hourly", "chat", 3)
    assert (replaced.enabled, replaced.error) == (True, None)
    assert replaced.last_slot == datetime.fromisoformat(before["last_slot"])
    assert replaced.next_fire_at is not None
    assert replaced.next_fire_at > await ago(db)
    assert len(await schedules.all()) == 1


async def test_replacing_with_the_same_times_keeps_a_slot_that_is_due(
    db: Database, schedules: Schedules, cron: Cron
) -> None:
    await insert(db)

    await schedules.replace(NewSchedule(name="report", cron=YEARLY, kind="chat"))
    await cron.run_once()

    assert [kind for _, kind in await tasks(db)] == ["chat"]


@pytest.mark.parametrize(
    ("columns", "error", "problem"),
    [
        ({"cron": "7"}, InvalidSchedule, "has not five fields"),
        ({"timezone": "Nowhere"}, InvalidSchedule, "there is no time zone"),
        ({"priority": 10}, TaskRefused, "priority must be 0 to 9"),
        ({"name": ""}, TaskRefused, "name must have 1 to 255 characters"),
        ({"name": "a\x00"}, TaskRefused, "name holds a NUL"),
        ({"timeout_s": 0}, TaskRefused, "timeout_s must be 1 to 86400 seconds"),
        ({"max_attempts": 26}, TaskRefused, "max_attempts must be 1 to 25"),
    ],
)
async def test_a_schedule_that_breaks_a_rule_is_refused(
    schedules: Schedules, columns: dict[str, Any], error: type[Exception], problem: str
) -> None:
    given = {"name": "report", "cron": "@daily", "kind": "echo", **columns}
    with pytest.raises(error, match=problem):
        await schedules.add(NewSchedule(**given))
    assert await schedules.all() == []


async def test_remove_leaves_the_tasks_and_names_what_is_not_there(
    db: Database, schedules: Schedules, cron: Cron
) -> None:
    await insert(db)
    await cron.run_once()

    await schedules.remove("report")

    assert (await schedules.all(), len(await tasks(db))) == ([], 1)
    with pytest.raises(ScheduleNotFound, match="there is no schedule 'report'"):
        await schedules.remove("report")


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_nobody_but_the_service_role_sees_schedules(db: Database, role: str) -> None:
    await insert(db)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with acting_as(db, role, user(uuid4())) as conn:
            await conn.execute("SELECT 1 FROM agent_worker.schedules")
    async with acting_as(db, "service_role") as conn:
        found = await (await conn.execute("SELECT name FROM agent_worker.schedules")).fetchall()
    assert found == [("report",)]
