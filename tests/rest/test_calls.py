"""Calls over HTTP give what calls over a PostgreSQL connection give, and their failures are told in our words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from agent_worker.db.access.access import MAX_ROWS
from agent_worker.db.connection import Database
from agent_worker.db.firing import Firing
from agent_worker.db.fleet import Beat, Fleet
from agent_worker.db.migrate import check_schema
from agent_worker.db.project import Project
from agent_worker.db.queue import Batch, Final, Queue, Said, Spawned
from agent_worker.db.rest import Rest
from agent_worker.db.rest_pulse import RestPulse
from agent_worker.db.transport import Transport
from agent_worker.domain.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    SchemaOutOfDate,
    ValueRefused,
)
from agent_worker.domain.events import Event
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.domain.schedule import decide
from agent_worker.domain.task import Task, TaskStatus
from agent_worker.testing.postgres import insert_task, read_events, read_task
from tests.db.steps import ask, claim_all, lease_of, park, register, run
from tests.gateway.door import PUBLISHABLE, SECRET, legacy_key
from tests.rest.project import Reply, StandIn, error

Story = Callable[[Transport], Awaitable[Any]]

AWKWARD = {"text": "ä😀 \\u0000 \"'\n", "large": 2**53 + 1, "half": 0.1, "none": None, "list": [[], {}]}


async def claimed(transport: Transport, db: Database, **columns: Any) -> tuple[Queue, Task]:
    """Return a worker's queue and the one task it holds."""
    queue = Queue(transport, uuid4())
    await insert_task(db, **columns)
    (task,) = await claim_all(queue)
    return queue, task


@pytest.fixture
def both(db: Database, rest: Rest) -> Callable[[Story], Awaitable[Any]]:
    """Tell a story to both transports, each in an empty database, and return its end once they agree."""

    async def tell(story: Story) -> Any:
        ends = []
        for transport in (db, rest):
            ends.append(await story(transport))
            await run(db, "DELETE FROM agent_task_requests")
        assert ends[0] == ends[1]
        assert repr(ends[0]) == repr(ends[1]), "equal values of equal types"
        return ends[0]

    return tell


async def test_a_claimed_task_reads_the_same(both: Callable[[Story], Awaitable[Any]], db: Database) -> None:
    id_, user_id, parent_id = uuid4(), uuid4(), uuid4()

    async def story(transport: Transport) -> Task:
        _, task = await claimed(
            transport,
            db,
            id=id_,
            request_payload=AWKWARD,
            user_id=user_id,
            enterprise_id="acme",
            parent_id=parent_id,
            priority=7,
            timeout_s=60,
        )
        assert task.created_at.tzinfo is not None
        assert isinstance(task.started_at, datetime)
        assert isinstance(task.waited_s, float)
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return task._replace(created_at=moment, started_at=moment, waited_s=0.0, seq=0)

    task = await both(story)

    assert (task.request_payload, task.user_id, task.parent_id) == (AWKWARD, user_id, parent_id)


async def test_a_claim_of_more_than_the_projects_max_rows_loses_none(db: Database, rest: Rest) -> None:
    count = MAX_ROWS + 500
    await run(
        db, "INSERT INTO agent_task_requests (kind) SELECT 'echo' FROM generate_series(1, %(n)s)", n=count
    )
    queue = Queue(rest, uuid4())

    tasks = await queue.claim([whole_level("echo", 0, quota=count)], count)

    assert len({task.id for task in tasks}) == count
    assert len(await queue.held()) == count


async def test_what_a_task_says_and_remembers_reads_the_same(
    both: Callable[[Story], Awaitable[Any]], db: Database
) -> None:
    async def story(transport: Transport) -> Any:
        queue, task = await claimed(transport, db)
        lease = lease_of(task, queue)
        lost = await queue.write(
            Batch(
                events=[Said(lease, 1, Event("x", AWKWARD)), Said(lease, 2, Event("y", {}))],
                checkpoints=[
                    (lease, Checkpoint("null", Call.VALUE, None)),
                    (lease, Checkpoint("awkward", Call.STEP, AWKWARD)),
                ],
                progress={lease: {"percent": 1}},
            )
        )
        known = await queue.load_checkpoints(task.id)
        return lost, await queue.last_event_seq(task.id), known, await read_events(db, task.id)

    lost, seq, known, events = await both(story)

    assert (lost, seq, known["null"].value, known["awkward"].value) == (set(), 2, None, AWKWARD)
    assert events == [(1, "x", AWKWARD), (2, "y", {})]


async def test_outcomes_are_written_and_lost_leases_named(
    both: Callable[[Story], Awaitable[Any]], db: Database
) -> None:
    ids = sorted(uuid4() for _ in range(4))

    async def story(transport: Transport) -> Any:
        queue = Queue(transport, uuid4())
        for id_ in ids:
            await insert_task(db, id=id_)
        leases = {task.id: lease_of(task, queue) for task in await claim_all(queue)}
        ended, retried, released, moved = (leases[id_] for id_ in ids)
        await run(db, "UPDATE agent_task_requests SET status = 'pending' WHERE id = %(id)s", id=ids[3])
        lost = await queue.write(
            Batch(
                finals=[
                    Final(ended, TaskStatus.COMPLETED, '{"answer": 1}'),
                    Final(moved, TaskStatus.COMPLETED, "{}"),
                ],
                retries=[(retried, 60.0)],
                releases=[(released, 0.0)],
            )
        )
        rows = [await read_task(db, id_) for id_ in ids]
        return [lease.task_id for lease in lost], [(row["status"], row["attempt"]) for row in rows]

    lost, states = await both(story)

    assert lost == [ids[3]]
    assert states == [("completed", 1), ("pending", 1), ("pending", 0), ("pending", 1)]


async def test_children_questions_and_cancel_requests_work(
    both: Callable[[Story], Awaitable[Any]], db: Database
) -> None:
    child_id = uuid4()

    async def story(transport: Transport) -> Any:
        queue, task = await claimed(transport, db, user_id=UUID(int=7), enterprise_id="acme")
        lease = lease_of(task, queue)
        await queue.write(Batch(children=[Spawned(lease, "c", child_id, "other", {"n": 1})]))
        child = await read_task(db, child_id)
        await run(
            db, "UPDATE agent_task_requests SET cancel_requested_at = now() WHERE id = %(id)s", id=task.id
        )
        cancels = await queue.cancel_requests([task.id]) == [task.id]
        await park(queue, lease, ask())
        ended = await read_task(db, task.id)
        return (
            child["enterprise_id"],
            child["user_id"],
            child["parent_id"] == task.id,
            cancels,
            ended["status"],
        )

    assert await both(story) == ("acme", UUID(int=7), True, True, "cancelled")


async def test_the_fleet_and_its_upkeep_work(both: Callable[[Story], Awaitable[Any]], db: Database) -> None:
    async def story(transport: Transport) -> Any:
        fleet = Fleet(transport)
        worker = await register(fleet)
        with pytest.raises(ConfigurationError, match=f"the worker name is taken by {worker.name}"):
            await register(fleet, name=worker.name)
        await insert_task(db, run_at=datetime.now(UTC) + timedelta(seconds=100))
        await insert_task(db, kind="never-offered")
        staged = await fleet.stage(limit=10)
        assert isinstance(staged.next_due_s, float)
        oldest_s = await fleet.oldest_pending_s(["never-offered"])
        unknown = await fleet.fail_unknown_kinds(grace_s=0.0, limit=10)
        await fleet.sign_off(worker.id, "stopped")
        return (
            staged.staged,
            oldest_s > 0,
            [kind for _, kind in unknown],
            [type(id_) for id_, _ in unknown],
            await fleet.rescue(limit=10),
            await fleet.expire_questions(limit=10),
            await fleet.prune(retention_s=3600.0, limit=10),
        )

    assert (await both(story))[:3] == (0, True, ["never-offered"])


async def test_schedules_fire(both: Callable[[Story], Awaitable[Any]], db: Database) -> None:
    async def story(transport: Transport) -> Any:
        await run(db, "DELETE FROM agent_worker.schedules")
        await run(
            db,
            "INSERT INTO agent_worker.schedules (name, cron, created_at, next_fire_at, last_slot) "
            "VALUES ('s', '0 0 1 1 *', '2020-01-01', '2026-01-01', '2025-01-01')",
        )
        firing = Firing(transport)
        (seen,) = await firing.upcoming(limit=10)
        fired = await firing.fire([(seen, decide(seen.timing, seen.now))])
        (again,) = await firing.upcoming(limit=10)
        return seen.timing, fired, again.timing

    timing, (fired,), _ = await both(story)

    assert timing.next_fire_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert (fired.slot, type(fired.task_id)) == (datetime(2026, 1, 1, tzinfo=UTC), UUID)


async def test_a_heartbeat_keeps_the_worker_and_brings_cancel_requests(
    project: Project, rest: Rest, db: Database
) -> None:
    worker_id = uuid4()
    pulse = RestPulse(project, worker_id)
    assert await asyncio.to_thread(pulse.beat, 1) == Beat(False, []), "nobody knows it"
    await register(Fleet(rest), worker_id)
    task_id = await insert_task(db)
    await claim_all(Queue(rest, worker_id))
    await run(db, "UPDATE agent_task_requests SET cancel_requested_at = now()")

    known = await asyncio.to_thread(pulse.beat, 7)

    assert known == Beat(True, [task_id])
    assert await db.fetch_value("SELECT in_flight FROM agent_worker.workers") == 7
    pulse.close()
    pulse.close()


async def test_a_value_that_postgres_refuses_is_told_in_its_words(rest: Rest, db: Database) -> None:
    queue, task = await claimed(rest, db)
    lease = lease_of(task, queue)

    with pytest.raises(ValueRefused, match="key must have 1 to 255 characters") as caught:
        await queue.write(Batch(checkpoints=[(lease, Checkpoint("k" * 256, Call.VALUE, 1))]))

    assert caught.value.sqlstate == "23514"
    with pytest.raises(ValueRefused):
        await queue.write(Batch(children=[Spawned(lease, "c", uuid4(), "a\x00b", {})]))


async def test_a_project_that_is_down_may_be_back_later(
    stand_in: StandIn, rest: Rest, project: Project
) -> None:
    await check_schema(rest)
    stand_in.down()

    with pytest.raises(DatabaseUnavailable, match=f"supabase is not reachable at {project.target}"):
        await check_schema(rest)

    stand_in.up()
    await check_schema(rest)


async def test_a_missing_function_names_the_commands(rest: Rest, db: Database) -> None:
    await run(db, "DROP FUNCTION public.agent_worker_prune")

    with pytest.raises(SchemaOutOfDate, match=r"supabase db push.*agent-worker migrate"):
        await Fleet(rest).prune(retention_s=1.0, limit=1)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("sb_secret_of_another_project", r"Invalid API key.* take the secret \(service_role\) key"),
        (PUBLISHABLE, r"permission denied.* this is a publishable \(anon\) key"),
        (legacy_key("anon"), r"permission denied.* this is a publishable \(anon\) key"),
        (legacy_key("service_role") + "x", "Invalid API key"),
    ],
    ids=["another", "publishable", "anon", "forged"],
)
async def test_a_refused_key_is_named_and_not_told(stand_in: StandIn, key: str, reason: str) -> None:
    async with Rest(Project(stand_in.url, SecretStr(key))) as rest:
        with pytest.raises(ConfigurationError, match=f"SUPABASE_SERVICE_KEY.*{reason}") as caught:
            await check_schema(rest)
    assert key not in str(caught.value)
    assert key not in repr(rest.project)


async def test_the_older_kind_of_key_opens_the_project_too(stand_in: StandIn) -> None:
    async with Rest(Project(f"{stand_in.url}/", SecretStr(legacy_key("service_role")))) as rest:
        await check_schema(rest)


HTML = "<html>a proxy says something</html>"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error(503, "PGRST001", "Database connection error. Retrying the connection."), DatabaseUnavailable),
        (error(504, "PGRST003", "Timed out acquiring connection"), DatabaseUnavailable),
        (error(500, "57014", "canceling statement due to statement timeout"), DatabaseUnavailable),
        (error(500, "40P01", "deadlock detected"), DatabaseUnavailable),
        (error(405, "25006", "cannot execute UPDATE in a read-only transaction"), DatabaseUnavailable),
        (Reply(429, '{"message": "slow down"}'), DatabaseUnavailable),
        (Reply(502, HTML), DatabaseUnavailable),
        (error(500, "54000", "string too long to represent as jsonb string"), ValueRefused),
        (error(400, "22P02", "invalid input syntax for type json"), ValueRefused),
        (Reply(413, HTML), ValueRefused),
        (error(404, "42883", "function agent_worker.claim(…) does not exist"), SchemaOutOfDate),
        (error(401, "PGRST303", "JWT expired"), ConfigurationError),
        (Reply(403, HTML), ConfigurationError),
        (error(406, "PGRST106", "Invalid schema: public"), ConfigurationError),
        (Reply(404, HTML), ConfigurationError),
        (Reply(308, ""), ConfigurationError),
        (Reply(200, HTML), ConfigurationError),
        (Reply(200, '{"an": "object"}'), ConfigurationError),
    ],
    ids=lambda value: f"{value.status}-{value.body[:20]}" if isinstance(value, Reply) else value.__name__,
)
async def test_an_answer_that_says_no_is_told_by_what_helps(
    stand_in: StandIn, rest: Rest, reply: Reply, expected: type[Exception]
) -> None:
    stand_in.answer_next(reply)

    with pytest.raises(expected) as caught:
        await Fleet(rest).prune(retention_s=1.0, limit=1)

    assert type(caught.value) is expected
    assert "html" not in str(caught.value)


async def test_a_message_that_repeats_the_key_is_told_without_it(stand_in: StandIn, rest: Rest) -> None:
    stand_in.answer_next(error(400, "22023", f"who is {SECRET}?"))

    with pytest.raises(ValueRefused, match=r"who is \*\*\*\?"):
        await check_schema(rest)


@pytest.mark.parametrize("key", ["", "two words", "line\n", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_SERVICE_KEY"):
        Project("https://abc.supabase.co", SecretStr(key))


@pytest.mark.parametrize(
    "url", ["abc.supabase.co", "postgresql://u:p@h/d", "https://", "http://h:x", "http://[::1", "https://a b"]
)
def test_a_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="SUPABASE_URL"):
        Project(url, SecretStr(SECRET))
