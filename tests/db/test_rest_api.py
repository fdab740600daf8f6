"""The functions that PostgREST calls: what each role may, and that they are the same calls as over a connection."""

from __future__ import annotations

import re

import psycopg
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.queries import sql
from tests.db.steps import acting_as, rows

CALLS = (
    "append_events",
    "broadcast_deltas",
    "can_broadcast",
    "cancel_requests",
    "claim",
    "expire_questions",
    "fail_unknown_kinds",
    "finish",
    "fire_schedules",
    "heartbeat",
    "held_tasks",
    "last_event_seq",
    "load_checkpoints",
    "next_schedules",
    "oldest_pending",
    "park",
    "prune",
    "record_steps",
    "register_worker",
    "release",
    "report_progress",
    "rescue",
    "retry",
    "schema_version",
    "sign_off",
    "spawn",
    "stage",
)

WRAPPERS = r"""
    SELECT p.oid::regprocedure::text, substr(p.proname, 14), coalesce(p.proargnames, '{}')
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'agent\_worker\_%%'
      AND NOT has_function_privilege('authenticated', p.oid, 'EXECUTE')
    ORDER BY p.proname
"""
"""Those for workers; operators have others, see test_operator.py."""


async def test_every_call_of_a_worker_has_a_wrapper_with_its_arguments(db: Database) -> None:
    found = {name: set(arguments) for _, name, arguments in await rows(db, WRAPPERS)}

    assert tuple(found) == CALLS
    for name, arguments in found.items():
        assert arguments == {f"p_{given}" for given in re.findall(r"%\((\w+)\)s", sql(name))}, name


@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_nobody_but_the_service_role_may_call_them(db: Database, role: str) -> None:
    wrappers = await rows(db, WRAPPERS)
    allowed = "SELECT has_function_privilege(%s, %s::regprocedure, 'EXECUTE')"
    async with db.connection() as conn:
        for wrapper, _, _ in wrappers:
            for who, may in ((role, False), ("service_role", True)):
                cursor = await conn.execute(allowed, [who, wrapper])
                assert await cursor.fetchone() == (may,), (who, wrapper)

    async with acting_as(db, role) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="agent_worker_schema_version"):
            await conn.execute("SELECT public.agent_worker_schema_version()")


async def test_they_run_with_the_callers_rights_and_look_names_up_nowhere(db: Database) -> None:
    strange = await rows(
        db,
        r"""
        SELECT p.proname FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'agent\_worker\_%%'
          AND (p.prosecdef OR p.proretset OR p.prorettype <> 'json'::regtype
               OR NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=""'])
        """,
    )

    assert strange == []
