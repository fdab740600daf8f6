"""Row level security and grants, as PostgREST uses them: a role, and the claims of a JWT."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database
from agent_worker.db.queue import Batch, Queue, Said
from agent_worker.domain.events import Event
from agent_worker.testing.postgres import insert_task, read_task
from tests.db.steps import acting_as, ask, claim_all, claim_new, lease_of, park, rows, user

PUBLIC_TABLES = ["agent_task_requests", "agent_task_events", "human_tasks"]
PRIVATE_TABLES = ["workers", "kinds", "checkpoints", "schedules"]

INSERTABLE = {
    "id",
    "kind",
    "status",
    "request_payload",
    "user_id",
    "enterprise_id",
    "priority",
    "run_at",
    "max_attempts",
    "timeout_s",
    "dedupe_key",
}


async def insert_as(db: Database, claims: dict[str, Any], **columns: Any) -> dict[str, Any]:
    """Insert a task through PostgREST's eyes and return its row."""
    columns = {"id": uuid4(), "request_payload": Jsonb({"prompt": "Hi"}), **columns}
    query = sql.SQL("INSERT INTO public.agent_task_requests ({}) VALUES ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(map(sql.Placeholder, columns))
    )
    async with acting_as(db, str(claims["role"]), claims) as conn:
        await conn.execute(query, columns)
    return await read_task(db, columns["id"])


async def _spoken(db: Database, queue: Queue, user_id: UUID) -> UUID:
    """Return a task of a user that has said something and waits for an answer."""
    lease = await claim_new(db, queue, user_id=user_id)
    await queue.write(Batch(events=[Said(lease, 1, Event("text-delta", {"delta": "x"}))]))
    await park(queue, lease, ask())
    return lease.task_id


@pytest.fixture
def me() -> UUID:
    return uuid4()


async def test_a_signed_in_user_owns_what_it_inserts(db: Database, me: UUID) -> None:
    row = await insert_as(db, user(me))

    assert (row["user_id"], row["status"], row["priority"]) == (me, "pending", 0)


async def test_the_insert_of_a_typical_client_is_taken(db: Database, me: UUID) -> None:
    row = await insert_as(
        db,
        user(me),
        status="pending",
        user_id=me,
        kind="echo",
        priority=5,
        max_attempts=25,
        timeout_s=86_400,
        dedupe_key="k",
        run_at="2030-01-01",
        enterprise_id="acme",
    )

    assert (row["user_id"], row["priority"], row["enterprise_id"]) == (me, 5, "acme")


@pytest.mark.parametrize("table", PUBLIC_TABLES)
async def test_a_user_sees_its_own_rows_and_a_stranger_sees_none(
    db: Database, queue: Queue, me: UUID, table: str
) -> None:
    await _spoken(db, queue, me)
    query = sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table))

    async with acting_as(db, "authenticated", user(me)) as conn:
        assert await (await conn.execute(query)).fetchone() == (1,)
    async with acting_as(db, "authenticated", user(uuid4())) as conn:
        assert await (await conn.execute(query)).fetchone() == (0,)
    async with acting_as(db, "authenticated") as conn:
        assert await (await conn.execute(query)).fetchone() == (0,)


@pytest.mark.parametrize("table", PUBLIC_TABLES)
async def test_an_anonymous_visitor_may_not_even_look(db: Database, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with acting_as(db, "anon", {"role": "anon"}) as conn:
            await conn.execute(sql.SQL("SELECT 1 FROM public.{}").format(sql.Identifier(table)))


async def test_an_anonymous_visitor_may_not_insert(db: Database) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await insert_as(db, {"role": "anon"})


@pytest.mark.parametrize(
    "columns",
    [
        {"user_id": UUID(int=7)},
        {"user_id": None},
        {"priority": 6},
        {"status": "completed"},
        {"status": "cancelled"},
    ],
    ids=str,
)
async def test_a_user_may_not_insert_for_others_nor_ask_for_more_than_its_share(
    db: Database, me: UUID, columns: dict[str, Any]
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security policy"):
        await insert_as(db, user(me), **columns)


async def test_a_user_may_insert_exactly_these_columns(db: Database) -> None:
    granted = await rows(
        db,
        "SELECT column_name FROM information_schema.column_privileges "
        "WHERE table_schema = 'public' AND table_name = 'agent_task_requests' "
        "AND grantee = 'authenticated' AND privilege_type = 'INSERT'",
    )

    assert {name for (name,) in granted} == INSERTABLE


async def test_a_user_may_update_exactly_one_column_of_each_table(db: Database) -> None:
    granted = await rows(
        db,
        "SELECT table_name, column_name FROM information_schema.column_privileges "
        "WHERE table_schema = 'public' AND grantee = 'authenticated' AND privilege_type = 'UPDATE' ORDER BY 1",
    )

    assert granted == [("agent_task_requests", "cancel_requested_at"), ("human_tasks", "response")]


@pytest.mark.parametrize(
    "column", ["status", "response_payload", "priority", "user_id", "attempt", "worker_id"]
)
async def test_a_user_may_not_update_other_columns(db: Database, me: UUID, column: str) -> None:
    await insert_as(db, user(me))

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
        async with acting_as(db, "authenticated", user(me)) as conn:
            await conn.execute(
                sql.SQL("UPDATE public.agent_task_requests SET {} = NULL").format(sql.Identifier(column))
            )


@pytest.mark.parametrize("table", PUBLIC_TABLES)
async def test_a_user_may_not_delete(db: Database, me: UUID, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with acting_as(db, "authenticated", user(me)) as conn:
            await conn.execute(sql.SQL("DELETE FROM public.{}").format(sql.Identifier(table)))


async def test_a_user_may_not_write_events_or_questions(db: Database, queue: Queue, me: UUID) -> None:
    task_id = await _spoken(db, queue, me)

    for statement in (
        "INSERT INTO public.agent_task_events (task_id, seq, type, attempt) VALUES (%s, 9, 'finish', 1)",
        "INSERT INTO public.human_tasks (task_id, key, title) VALUES (%s, 'k', 't')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with acting_as(db, "authenticated", user(me)) as conn:
                await conn.execute(statement, [task_id])


async def test_a_user_cancels_its_own_task_and_no_other(db: Database, me: UUID) -> None:
    mine, other = (await insert_as(db, user(me)))["id"], await insert_task(db, user_id=uuid4())

    async with acting_as(db, "authenticated", user(me)) as conn:
        cursor = await conn.execute("UPDATE public.agent_task_requests SET cancel_requested_at = now()")
        assert cursor.rowcount == 1

    assert (await read_task(db, mine))["status"] == "cancelled"
    assert (await read_task(db, other))["status"] == "pending"


async def test_a_user_answers_its_own_question_and_is_noted(db: Database, queue: Queue, me: UUID) -> None:
    task_id = await _spoken(db, queue, me)

    async with acting_as(db, "authenticated", user(me)) as conn:
        cursor = await conn.execute("UPDATE public.human_tasks SET response = '{\"approved\": true}'")
        assert cursor.rowcount == 1

    assert await rows(db, "SELECT status, responded_by FROM public.human_tasks") == [("completed", me)]
    assert (await read_task(db, task_id))["status"] == "pending"


async def test_the_assignee_answers_and_the_owner_only_looks(db: Database, queue: Queue, me: UUID) -> None:
    boss = uuid4()
    lease = await claim_new(db, queue, user_id=me)
    await park(queue, lease, ask(assignee=boss))
    answer = "UPDATE public.human_tasks SET response = '{\"approved\": true}'"

    async with acting_as(db, "authenticated", user(me)) as conn:
        assert (await conn.execute(answer)).rowcount == 0
        assert await (await conn.execute("SELECT count(*) FROM public.human_tasks")).fetchone() == (1,)
    async with acting_as(db, "authenticated", user(boss)) as conn:
        assert (await conn.execute(answer)).rowcount == 1


async def test_the_tenant_of_the_token_wins(db: Database, me: UUID) -> None:
    claims = user(me, app_metadata={"enterprise_id": "acme"})

    row = await insert_as(db, claims, enterprise_id="rich-neighbour")

    assert row["enterprise_id"] == "acme"


async def test_a_token_without_a_tenant_leaves_the_column_as_it_is(db: Database, me: UUID) -> None:
    assert (await insert_as(db, user(me)))["enterprise_id"] is None
    assert (await insert_as(db, user(me, app_metadata={}), enterprise_id="acme"))["enterprise_id"] == "acme"


async def test_what_a_user_sees_of_a_token_it_edits_itself_does_not_count(db: Database, me: UUID) -> None:
    claims = user(me, user_metadata={"enterprise_id": "forged"})

    assert (await insert_as(db, claims))["enterprise_id"] is None


async def test_the_service_role_may_do_everything(db: Database, queue: Queue, me: UUID) -> None:
    service = {"role": "service_role"}
    row = await insert_as(db, service, user_id=me, priority=9, kind="echo", enterprise_id="acme")
    assert (row["user_id"], row["priority"], row["enterprise_id"]) == (me, 9, "acme")

    (task,) = await claim_all(queue)
    async with acting_as(db, "service_role", service) as conn:
        cursor = await conn.execute(
            "SELECT agent_worker.finish(%s, %s, '{1}', '{completed}', array['{}']::jsonb[])",
            [queue.worker_id, [task.id]],
        )
        assert await cursor.fetchall() == [], "nothing is lost"
        await conn.execute("UPDATE public.agent_task_requests SET status = 'pending'")
        await conn.execute("SELECT agent_worker.rescue(10), agent_worker.prune(0, 10)")
        await conn.execute("SELECT agent_worker.schema_version()")
        await conn.execute("DELETE FROM public.agent_task_requests")


async def test_a_worker_may_run_as_service_role(db: Database, database_url: str) -> None:
    options = "-c role=service_role"
    async with Database(psycopg.conninfo.make_conninfo(database_url, options=options)) as limited:
        queue = Queue(limited, uuid4())
        task_id = await insert_task(db)
        (task,) = await claim_all(queue)
        lease = lease_of(task, queue)
        await queue.write(Batch(events=[Said(lease, 1, Event("text-delta", {"delta": "x"}))]))
        await park(queue, lease, ask())

    assert (await read_task(db, task_id))["status"] == "waiting"


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("table", PRIVATE_TABLES)
async def test_the_private_schema_is_closed_to_clients(db: Database, role: str, table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema agent_worker"):
        async with acting_as(db, role, {"role": role}) as conn:
            await conn.execute(sql.SQL("SELECT 1 FROM agent_worker.{}").format(sql.Identifier(table)))


ASKED_BY_POLICIES = {"is_operator", "operators_lowest_id", "task_of_topic"}


async def test_private_functions_are_closed_to_clients_but_for_what_policies_and_operators_need(
    db: Database,
) -> None:
    """Even those are out of reach by name, because nobody but the service role may use the schema."""
    open_functions = await rows(
        db,
        "SELECT p.proname, r.rolname FROM pg_proc p CROSS JOIN pg_roles r "
        "WHERE p.pronamespace = 'agent_worker'::regnamespace AND r.rolname IN ('anon', 'authenticated') "
        "AND has_function_privilege(r.oid, p.oid, 'EXECUTE')",
    )

    assert {role for _, role in open_functions} == {"authenticated"}
    names = {name for name, _ in open_functions}
    assert {name for name in names if not name.startswith("operator_")} == ASKED_BY_POLICIES


async def test_a_private_function_that_borrows_the_owners_rights_for_a_client_asks_who_calls(
    db: Database,
) -> None:
    silent = await rows(
        db,
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'agent_worker'::regnamespace AND p.prosecdef "
        "AND has_function_privilege('authenticated', p.oid, 'EXECUTE') "
        "AND p.prosrc NOT LIKE '%%begin\n  perform agent_worker.require_operator();%%'",
    )

    assert silent == []


async def test_every_private_function_fixes_its_search_path(db: Database) -> None:
    loose = await rows(
        db,
        "SELECT proname FROM pg_proc WHERE pronamespace IN ('agent_worker'::regnamespace, 'auth'::regnamespace) "
        "AND NOT coalesce(proconfig, '{}') @> array['search_path=\"\"']",
    )

    assert loose == []
