"""Operators see and do what they should, by the functions that PostgREST calls; nobody else gets anything from these."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.db.fleet import Fleet
from agent_worker.db.limits import Limits
from agent_worker.db.pulse import PostgresPulse
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.domain.events import Event
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.testing.postgres import TestDatabases, insert_task, read_task
from tests.db.steps import (
    acting_as,
    ask,
    claim_all,
    claim_new,
    finish,
    park,
    register,
    rows,
    run,
    silence,
    status_of,
    user,
)

CALLS: dict[LiteralString, LiteralString] = {
    "status": "",
    "workers": "",
    "activity": "60, NULL",
    "kinds": "",
    "tasks": "",
    "retry": "'{00000000-0000-0000-0000-000000000001}'::uuid[]",
    "cancel": "'{00000000-0000-0000-0000-000000000001}'::uuid[]",
    "pause": "'chat'",
    "resume": "'chat'",
    "definitions": "",
    "definition": "'unknown'",
    "drain": "'00000000-0000-0000-0000-000000000001'",
}
"""Every function for operators, with arguments that do no harm."""

OPERATORS = r"""
    SELECT substr(p.proname, 14), p.prosecdef, p.prorettype = 'json'::regtype,
           has_function_privilege('anon', p.oid, 'EXECUTE'), has_function_privilege('service_role', p.oid, 'EXECUTE')
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'agent\_worker\_%%'
      AND has_function_privilege('authenticated', p.oid, 'EXECUTE')
"""


def operator(user_id: UUID | None = None) -> dict[str, Any]:
    return user(user_id or uuid4(), app_metadata={"agent_worker": "operator"})


async def call(
    db: Database, name: LiteralString, arguments: LiteralString = "", *values: object, **claims: Any
) -> Any:
    """Call a function as PostgREST does for an operator, or for whoever the claims name."""
    given = claims or operator()
    async with acting_as(db, given["role"], given) as conn:
        cursor = await conn.execute(f"SELECT public.agent_worker_{name}({arguments})", values)
        return ((await cursor.fetchone()) or (None,))[0]


async def test_the_functions_for_operators_are_thin_and_not_for_anonymous_visitors(db: Database) -> None:
    found = {name: facts for name, *facts in await rows(db, OPERATORS)}

    assert set(found) == set(CALLS)
    assert all(facts == [False, True, False, True] for facts in found.values()), found


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"app_metadata": {}},
        {"app_metadata": {"agent_worker": "user"}},
        {"app_metadata": {"agent_worker": ["operator"]}},
        {"app_metadata": "operator"},
        {"user_metadata": {"agent_worker": "operator"}},
        {"agent_worker": "operator"},
        {"app_metadata": {"enterprise_id": "acme", "role": "operator"}},
    ],
    ids=json.dumps,
)
async def test_who_is_no_operator_is_refused_with_a_sentence(
    db: Database, name: LiteralString, claims: dict[str, Any]
) -> None:
    await register(Fleet(db), UUID(int=1))
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        await call(db, name, CALLS[name], **user(uuid4(), **claims))

    assert refused.value.diag.message_primary == "only operators may do this"
    assert await rows(db, "SELECT 1 FROM agent_worker.limits") == []


@pytest.mark.parametrize("name", CALLS)
async def test_an_anonymous_visitor_is_refused_whatever_its_claims_say(
    db: Database, name: LiteralString
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"function agent_worker_{name}"):
        await call(db, name, CALLS[name], role="anon", app_metadata={"agent_worker": "operator"})


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"drain", "definition"}))
async def test_an_operator_and_the_service_role_are_answered(db: Database, name: LiteralString) -> None:
    assert await call(db, name, CALLS[name]) is not None
    assert await call(db, name, CALLS[name], role="service_role") is not None


async def test_the_owner_is_answered_without_claims(db: Database) -> None:
    assert await db.fetch_value("SELECT public.agent_worker_status() -> 'counted_to'") == 10_000


# What they see


async def test_an_operator_sees_every_row_and_a_user_its_own(db: Database, queue: Queue) -> None:
    me, others = uuid4(), [uuid4(), None]
    for owner in (me, *others):
        lease = await claim_new(db, queue, user_id=owner)
        await queue.write(Batch(events=[Said(lease, 1, Event("text-delta", {"delta": "x"}))]))
        await park(queue, lease, ask())

    for table in ("agent_task_requests", "agent_task_events", "human_tasks"):
        for claims, seen in ((operator(), 3), (operator(me), 3), (user(me), 1), (user(uuid4()), 0)):
            async with acting_as(db, "authenticated", claims) as conn:
                cursor = await conn.execute(f"SELECT count(*) FROM public.{table}".encode())
                assert await cursor.fetchone() == (seen,), (table, claims)


async def test_an_operator_inserts_as_itself_and_not_for_others(db: Database) -> None:
    me = uuid4()
    insert = "INSERT INTO public.agent_task_requests (user_id, priority) VALUES (%s, %s)"
    async with acting_as(db, "authenticated", operator(me)) as conn:
        await conn.execute(insert, [me, 5])
    for owner, priority in ((uuid4(), 0), (me, 6)):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with acting_as(db, "authenticated", operator(me)) as conn:
                await conn.execute(insert, [owner, priority])


async def test_an_operator_answers_no_question_that_is_put_to_another(db: Database, queue: Queue) -> None:
    await park(queue, await claim_new(db, queue, user_id=uuid4()), ask())
    async with acting_as(db, "authenticated", operator()) as conn:
        cursor = await conn.execute("UPDATE public.human_tasks SET response = '{}'")
        assert cursor.rowcount == 0


async def test_status_counts_what_there_is(db: Database, queue: Queue, fleet: Fleet) -> None:
    await register(fleet, queue.worker_id, concurrency=4)
    await register(fleet, concurrency=2)
    await finish(queue, await claim_new(db, queue))
    await finish(queue, await claim_new(db, queue), "failed")
    await park(queue, await claim_new(db, queue), ask())
    await claim_new(db, queue)
    await insert_task(db, kind="chat")
    await insert_task(db, run_at="2030-01-01")
    await Limits(db).pause("chat")
    await run(db, "UPDATE agent_task_requests SET updated_at = now() - interval '1 min' WHERE kind = 'chat'")

    found = await call(db, "status")

    assert found["counts"] == {"pending": 1, "scheduled": 1, "processing": 1, "waiting": 1}
    assert 60 <= found["oldest_pending_s"] < 70
    assert {name: found["recent"][name] for name in ("completed", "failed", "cancelled")} == {
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }
    assert (found["workers"], found["slots"]["total"]) == ({"live": 2, "late": 0, "gone": 0}, 6)
    assert found["paused_kinds"] == ["chat"]


async def test_workers_are_live_late_or_gone_and_say_when_their_tasks_return(
    db: Database, queue: Queue, fleet: Fleet
) -> None:
    await register(fleet, queue.worker_id, name="late")
    gone = await register(fleet, name="gone")
    live = await register(fleet, name="live")
    await claim_new(db, queue)
    await silence(db, queue.worker_id, seconds=20)
    await silence(db, gone.id, seconds=31)

    found = {worker["name"]: worker for worker in await call(db, "workers")}

    assert {name: worker["health"] for name, worker in found.items()} == {
        "late": "late",
        "gone": "gone",
        "live": "live",
    }
    assert found["late"]["held"] == 1
    assert 5 < found["late"]["tasks_return_in_s"] <= 10
    assert (found["gone"]["tasks_return_in_s"], found["gone"]["state"]) == (0, "lost")
    assert found["live"]["tasks_return_in_s"] is None
    await silence(db, live.id)
    assert {worker["tasks_return_in_s"] for worker in await call(db, "workers")} == {None}, "nobody is left"


async def test_activity_tells_ends_by_minute_and_how_long_tasks_waited_and_ran(db: Database) -> None:
    for minutes, kind, status, attempt in (
        (1, "chat", "completed", 1),
        (1, "chat", "failed", 1),
        (3, "echo", "completed", 2),
        (90, "chat", "completed", 1),
    ):
        await run(
            db,
            """
            INSERT INTO agent_task_requests
              (kind, status, attempt, worker_id, created_at, started_at, finished_at, response_payload)
            SELECT %(kind)s, %(status)s, %(attempt)s, gen_random_uuid(), at - interval '12 s', at - interval '10 s', at, '{}'
            FROM (SELECT now() - make_interval(mins => %(minutes)s)) ended (at)
            """,
            kind=kind,
            status=status,
            attempt=attempt,
            minutes=minutes,
        )

    hour, chat = await call(db, "activity"), await call(db, "activity", "p_minutes => 10, p_kind => 'chat'")

    assert [hour["completed"], hour["failed"], hour["cancelled"]] == [2, 1, 0]
    assert [(m["completed"], m["failed"]) for m in hour["minutes"]] == [(1, 0), (1, 1)]
    assert (hour["waited_s"], hour["ran_s"]) == ({"p50": 2, "p95": 2}, {"p50": 10, "p95": 10})
    assert [chat["completed"], chat["failed"], len(chat["minutes"])] == [1, 1, 1]
    assert (await call(db, "activity", "p_minutes => 1440"))["completed"] == 3


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("activity", "0"),
        ("activity", "1441"),
        ("tasks", "p_limit => 201"),
        ("tasks", "p_limit => 0"),
        ("pause", "''"),
        ("retry", "array_fill(gen_random_uuid(), array[1001])"),
        ("cancel", "array_fill(gen_random_uuid(), array[1001])"),
        ("cancel", "null"),
    ],
)
async def test_what_is_out_of_range_is_refused(
    db: Database, name: LiteralString, arguments: LiteralString
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="must"):
        await call(db, name, arguments)


async def test_kinds_are_those_offered_and_those_that_wait(db: Database, fleet: Fleet) -> None:
    schema = {"type": "object"}
    await register(fleet, kinds=("chat", "echo"), payload_schemas={"chat": schema})
    await insert_task(db, kind="unheard-of")
    await insert_task(db, kind="echo", user_id=uuid4())
    await insert_task(db, kind="echo", user_id=uuid4(), priority=9)
    await Limits(db).pause("echo")

    found = {kind["kind"]: kind for kind in await call(db, "kinds")}

    assert list(found) == ["chat", "echo", "unheard-of"]
    assert (found["chat"]["payload_schema"], found["echo"]["payload_schema"]) == (schema, None)
    assert [kind["is_known"] for kind in found.values()] == [True, True, False]
    assert [kind["is_paused"] for kind in found.values()] == [False, True, False]
    assert [kind["pending"] for kind in found.values()] == [0, 2, 1]
    assert [kind["workers"] for kind in found.values()] == [1, 1, 0]
    assert found["chat"]["oldest_s"] is None
    assert found["echo"]["oldest_s"] >= 0


async def test_the_oldest_task_is_found_whichever_lane_it_waits_in(db: Database) -> None:
    for n in range(1, 6):
        for enterprise_id in (None, "acme"):
            task_id = await insert_task(db, user_id=UUID(int=n), enterprise_id=enterprise_id, priority=n)
    await run(
        db,
        "UPDATE agent_task_requests SET updated_at = now() - interval '1 hour' WHERE id = %(id)s",
        id=task_id,
    )

    (echo,) = await call(db, "kinds")

    assert 3600 <= echo["oldest_s"] < 3700


async def test_tasks_are_listed_newest_first_and_filtered(db: Database, queue: Queue) -> None:
    done = await claim_new(db, queue, enterprise_id="acme")
    await finish(queue, done, "failed")
    waiting = await insert_task(db, kind="chat")

    assert [task["id"] for task in await call(db, "tasks")] == [str(waiting), str(done.task_id)]
    for arguments, expected in (
        ("p_statuses => '{failed}'", done.task_id),
        ("p_kind => 'chat'", waiting),
        ("p_tenant => 'acme'", done.task_id),
        ("p_limit => 1", waiting),
    ):
        assert [task["id"] for task in await call(db, "tasks", arguments)] == [str(expected)], arguments
    assert await call(db, "tasks", "p_code => 'nonsense'") == []


# What they do


async def test_an_operator_cancels_any_task_by_its_row(db: Database) -> None:
    task_id = await insert_task(db, user_id=uuid4())
    async with acting_as(db, "authenticated", operator()) as conn:
        cursor = await conn.execute(
            "UPDATE public.agent_task_requests SET cancel_requested_at = now() WHERE id = %s", [task_id]
        )
        assert cursor.rowcount == 1

    assert await status_of(db, task_id) == "cancelled"


async def test_an_operator_may_not_write_more_than_that(db: Database) -> None:
    await insert_task(db)
    for statement in (
        "UPDATE public.agent_task_requests SET status = 'pending'",
        "UPDATE public.agent_task_requests SET priority = 9",
        "DELETE FROM public.agent_task_requests",
        "SELECT * FROM agent_worker.workers",
        "SELECT agent_worker.operator_status()",
        "SELECT agent_worker.cancel_tasks('{}')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with acting_as(db, "authenticated", operator()) as conn:
                await conn.execute(statement)


async def test_many_tasks_are_cancelled_at_once(db: Database, queue: Queue) -> None:
    running = (await claim_new(db, queue)).task_id
    pending = await insert_task(db)
    ids = [running, pending, uuid4()]

    changes = {change["id"]: change for change in await call(db, "cancel", "%s", ids)}

    assert changes == {
        str(running): {"id": str(running), "before": "processing", "after": "processing"},
        str(pending): {"id": str(pending), "before": "pending", "after": "cancelled"},
    }
    assert await queue.cancel_requests([running]) == [running]


async def test_ended_tasks_run_again_and_a_twin_in_the_way_harms_only_its_own(
    db: Database, queue: Queue
) -> None:
    failed = await claim_new(db, queue)
    await finish(queue, failed, "failed")
    twin = await claim_new(db, queue, dedupe_key="k")
    await finish(queue, twin, "failed")
    alive = await insert_task(db, dedupe_key="k")
    ids = [failed.task_id, twin.task_id, alive, twin.task_id]

    changes = {UUID(change["id"]): change for change in await call(db, "retry", "%s", ids)}

    assert {task: (change["before"], change["after"]) for task, change in changes.items()} == {
        failed.task_id: ("failed", "pending"),
        twin.task_id: ("failed", "failed"),
        alive: ("pending", "pending"),
    }
    assert [bool(change["error"]) for change in changes.values()].count(True) == 1
    assert changes[twin.task_id]["error"] == "an unfinished task has its dedupe_key"
    assert (await read_task(db, failed.task_id))["max_attempts"] == 4


async def test_a_paused_kind_is_not_claimed_until_it_is_resumed(db: Database, queue: Queue) -> None:
    await insert_task(db)
    for _ in range(2):
        assert await call(db, "pause", "'echo'") == {"kind": "echo", "is_paused": True}
    assert list(await claim_all(queue)) == []
    for _ in range(2):
        assert await call(db, "resume", "'echo'") == {"kind": "echo", "is_paused": False}
    assert len(await claim_all(queue)) == 1


async def test_a_worker_that_should_drain_hears_of_it_with_its_heartbeat(
    db: Database, fleet: Fleet, database_url: str
) -> None:
    worker, other = await register(fleet), await register(fleet)

    assert await call(db, "drain", "%s", worker.id) == {"id": str(worker.id), "name": worker.name}

    for identity, asked in ((worker, True), (other, False)):
        pulse = PostgresPulse(database_url, identity.id)
        assert (await asyncio.to_thread(pulse.beat, 0)).is_drain_asked is asked
        pulse.close()
    await fleet.sign_off(worker.id, "stopped")
    with pytest.raises(psycopg.Error, match="no living worker has this id") as refused:
        await call(db, "drain", "%s", worker.id)
    assert refused.value.sqlstate == "PT404"


async def _ran(db: Database, queue: Queue, payload: dict[str, Any], status: str | None, **pins: Any) -> UUID:
    """A pipeline's task that has come to a status; None: it still waits for a worker."""
    if status is None:
        return await insert_task(db, kind="pipeline", request_payload=payload)
    lease = await claim_new(db, queue, kind="pipeline", request_payload=payload)
    if pins:
        start = Checkpoint("run:start", Call.STEP, pins)
        await queue.write(Batch(checkpoints=[(lease, start)]))
    if status != "processing":
        await finish(queue, lease, status)
    return lease.task_id


async def test_definitions_are_listed_with_their_runs_of_the_last_day(db: Database, queue: Queue) -> None:
    definitions = Definitions(db, "pipeline")
    shown = await definitions.push(
        "a", {"settings": {"name": "A", "format": "worker"}, "protocol": "private"}
    )
    await definitions.push("b", {})
    await Definitions(db, "function").push("c", {})
    for payload, status in (
        ({"agent": "a"}, "completed"),
        ({"agent": str(shown.id)}, "completed"),
        ({"agent": "a"}, "failed"),
        ({"agent": "a"}, "processing"),
        ({"definition": {}}, "completed"),
        ({"agent": "b"}, "completed"),
    ):
        await _ran(db, queue, payload, status)
    await run(
        db,
        "UPDATE agent_task_requests SET finished_at = now() - interval '25 hours'"
        " WHERE request_payload ->> 'agent' = 'b'",
    )
    await _ran(db, queue, {"agent": "b"}, None)

    first, second = await call(db, "definitions")
    assert (first["id"], first["slug"], first["version"]) == (str(shown.id), "a", 1)
    assert (first["name"], first["format"], first["description"]) == ("A", "worker", None)
    none = dict.fromkeys(("pending", "processing", "waiting", "completed", "failed", "cancelled"), 0)
    assert first["runs"] == {**none, "completed": 2, "failed": 1, "processing": 1}
    assert second["runs"] == {**none, "pending": 1}
    assert "content" not in first
    assert [each["slug"] for each in await call(db, "definitions", "'function'")] == ["c"]


async def test_one_definition_is_read_with_its_versions_and_newest_runs(db: Database, queue: Queue) -> None:
    definitions = Definitions(db, "pipeline")
    for protocol in ("one", "two"):
        pushed = await definitions.push("a", {"protocol": protocol})
    failed = await _ran(
        db, queue, {"agent": "a"}, "failed", agent={"id": str(pushed.id), "version": 1}, workers={}
    )
    fresh = await _ran(db, queue, {"agent": "a"}, None)
    for _ in range(20):
        await _ran(db, queue, {"agent": "other"}, None)

    found = await call(db, "definition", "'a'")
    assert (found["version"], found["content"]) == (2, {"protocol": "two"})
    assert [each["version"] for each in found["versions"]] == [2, 1]
    assert [(each["id"], each["status"], each["version"]) for each in found["runs"]] == [
        (str(fresh), "pending", None),
        (str(failed), "failed", 1),
    ]
    older = await call(db, "definition", "%s, 1", str(pushed.id))
    assert older["content"] == {"protocol": "one"}
    with pytest.raises(psycopg.Error, match="there is no such definition") as missing:
        await call(db, "definition", "'a', 3")
    assert missing.value.sqlstate == "PT404"


# What it costs

HISTORY = """
    INSERT INTO public.agent_task_requests (
      kind, status, worker_id, attempt, response_payload, started_at, finished_at, created_at, updated_at, user_id
    )
    SELECT 'echo', 'completed', gen_random_uuid(), 1, '{"answer": "x"}', at, at, at, at,
           CASE WHEN n %% 3 > 0 THEN ('00000000-0000-0000-0000-' || lpad((n %% 500)::text, 12, '0'))::uuid END
    FROM generate_series(1, 50000) n CROSS JOIN LATERAL (SELECT now() - make_interval(secs => n)) ended (at)
"""


@pytest.fixture(scope="module")
def large(databases: TestDatabases) -> Iterator[str]:
    """A database with 50,000 finished tasks, two thirds of them of 500 users."""
    with databases.migrated() as url:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("ALTER TABLE public.agent_task_requests DISABLE TRIGGER USER")
            conn.execute(HISTORY.replace("%%", "%").encode())
            conn.execute("ALTER TABLE public.agent_task_requests ENABLE TRIGGER USER")
            conn.execute("ANALYZE public.agent_task_requests")
        yield url


def test_a_users_own_list_reads_its_own_rows_though_operators_see_all(large: str) -> None:
    """A policy with a plain OR makes every user read the whole table."""
    with psycopg.connect(large) as conn:
        conn.execute(
            "SELECT set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
            [json.dumps(user(UUID(int=0x499)))],
        )
        ((plan,),) = conn.execute(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT json) "
            "SELECT * FROM public.agent_task_requests ORDER BY created_at DESC LIMIT 20"
        ).fetchall()

    assert pages(plan) < 400
    assert "Seq Scan" not in json.dumps(plan)


@pytest.mark.parametrize(
    ("name", "at_most"),
    [
        ("status", 400),
        ("activity", 300),
        ("tasks", 300),
        ("kinds", 100),
        ("workers", 100),
        ("definitions", 1_500),
    ],
)
def test_a_look_at_a_fleet_reads_no_more_of_its_history_than_it_tells(
    large: str, name: str, at_most: int
) -> None:
    query = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT public.agent_worker_{name}()"
    with psycopg.connect(large) as conn:
        for _ in range(2):  # the first run of a session reads the catalogues as well
            ((plan,),) = conn.execute(query.encode()).fetchall()

    assert pages(plan) < at_most


def pages(plan: list[dict[str, Any]]) -> int:
    touched: int = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    return touched
