"""The autoscaler's question gets the right number, with a role that may ask nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, LiteralString, cast
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors as pg
from psycopg.conninfo import make_conninfo

from tests.deploy.files import KUBERNETES, manifest

ROLE = "agent_worker_scaler"

Connection = psycopg.Connection[tuple[Any, ...]]

INSERT: LiteralString = """
    INSERT INTO public.agent_task_requests (kind, status, worker_id, run_at)
    VALUES (%(kind)s, %(status)s, %(worker_id)s, now() + %(due_in)s::interval)
"""


@pytest.fixture
def owner(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def scaler(owner: Connection, database_url: str) -> Iterator[Connection]:
    """A session of the role of scaler-role.sql, under a name of this test's own: roles are the whole server's."""
    name, password = f"{ROLE}_{secrets.token_hex(4)}", secrets.token_hex(8)
    script = (KUBERNETES / "scaler-role.sql").read_text().replace(ROLE, name)
    owner.execute(cast("LiteralString", script))
    owner.execute(cast("LiteralString", f"ALTER ROLE {name} PASSWORD '{password}'"))
    try:
        with psycopg.connect(
            make_conninfo(database_url, user=name, password=password), autocommit=True
        ) as conn:
            yield conn
    finally:
        owner.execute(cast("LiteralString", f"DROP OWNED BY {name}; DROP ROLE {name}"))


def insert(owner: Connection, kind: str, status: str = "pending", *, due_in: str | None = None) -> None:
    worker_id = uuid4() if status == "processing" else None
    owner.execute(INSERT, {"kind": kind, "status": status, "worker_id": worker_id, "due_in": due_in})


def query() -> LiteralString:
    (trigger,) = manifest("ScaledObject")["spec"]["triggers"]
    return cast("LiteralString", trigger["metadata"]["query"])


def answer(scaler: Connection, question: LiteralString) -> int:
    row = scaler.execute(question).fetchone()
    assert row is not None
    return int(row[0])


def test_backlog_is_what_is_due_and_what_runs(owner: Connection, scaler: Connection) -> None:
    assert answer(scaler, query()) == 0
    insert(owner, "chat")
    insert(owner, "echo")
    for _ in range(2):
        insert(owner, "chat", "processing")
    assert answer(scaler, query()) == 4

    insert(owner, "someone elses")
    insert(owner, "chat", "waiting")
    insert(owner, "chat", "completed")
    insert(owner, "chat", due_in="1 hour")
    assert answer(scaler, query()) == 4


def test_backlog_counts_a_task_whose_time_has_come_though_nobody_has_staged_it(
    owner: Connection, scaler: Connection
) -> None:
    """With no worker left nobody stages it, and a fleet of none would never be woken for it."""
    insert(owner, "chat", due_in="1 hour")
    owner.execute("UPDATE public.agent_task_requests SET run_at = now()")
    assert answer(scaler, query()) == 1


def test_backlog_counts_no_further_than_asked(owner: Connection, scaler: Connection) -> None:
    for _ in range(5):
        insert(owner, "chat")
    assert answer(scaler, "SELECT agent_worker.backlog('{chat}', 3)") == 3


def test_the_scaler_may_ask_this_and_nothing_else(scaler: Connection) -> None:
    functions = scaler.execute(
        "SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'agent_worker'::regnamespace "
        "AND has_function_privilege(p.oid, 'EXECUTE')"
    ).fetchall()
    assert functions == [("backlog",)]
    tables = scaler.execute(
        "SELECT c.oid::regclass::text FROM pg_class c "
        "WHERE c.relnamespace IN ('agent_worker'::regnamespace, 'public'::regnamespace) AND c.relkind = 'r' "
        "AND (has_any_column_privilege(c.oid, 'SELECT, INSERT, UPDATE') OR has_table_privilege(c.oid, 'DELETE'))"
    ).fetchall()
    assert tables == []
    with pytest.raises(pg.InsufficientPrivilege):
        scaler.execute("SELECT count(*) FROM public.agent_task_requests")
    with pytest.raises(pg.ReadOnlySqlTransaction):
        scaler.execute("CREATE TEMPORARY TABLE stolen ()")
