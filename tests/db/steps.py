"""Steps that the tests of this room share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet, WorkerIdentity
from agent_worker.db.queue import Batch, Claimed, Final, Queue
from agent_worker.domain.json import JsonObject, dump_json
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.replay import Call, Question
from agent_worker.domain.task import Lease, Task, TaskStatus
from agent_worker.testing.postgres import insert_task
from tests.waiting import eventually

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Connect = Callable[[], Awaitable[Connection]]


async def claim_all(queue: Queue, *kinds: str, limit: int = 100) -> Claimed:
    """Claim from every lane of these kinds, high priorities first."""
    lanes = [whole_level(kind, priority) for priority in range(9, -1, -1) for kind in kinds or ("echo",)]
    return await queue.claim(lanes, limit)


async def claim_new(db: Database, queue: Queue, **columns: Any) -> Lease:
    """Insert a task and claim it; it must be the only one that is due."""
    task_id = await insert_task(db, **columns)
    (task,) = await claim_all(queue, columns.get("kind", "echo"))
    assert task.id == task_id
    return lease_of(task, queue)


def lease_of(task: Task, queue: Queue) -> Lease:
    return Lease(task.id, task.attempt, queue.worker_id)


def final(lease: Lease, status: str = "completed", response: JsonObject | None = None) -> Final:
    return Final(lease, TaskStatus(status), dump_json({"answer": "yes"} if response is None else response))


async def finish(queue: Queue, lease: Lease, status: str = "completed") -> set[Lease]:
    return await queue.write(Batch(finals=[final(lease, status)]))


def ask(key: str = "ok", *, timeout_s: float | None = None, assignee: UUID | None = None) -> Question:
    fields: JsonObject = {
        "type": "approval",
        "title": "Go on?",
        "description": "",
        "form": {"type": "object"},
        "context": {},
        "priority": "medium",
        "assignee": None if assignee is None else str(assignee),
    }
    return Question(key=key, call=Call.HUMAN, fields=fields, timeout_s=timeout_s)


def await_child(child_id: UUID) -> Question:
    return Question(key=f"wait:{child_id}", call=Call.CHILD, child_id=child_id)


async def park(queue: Queue, lease: Lease, question: Question) -> set[Lease]:
    return await queue.write(Batch(parks=[(lease, question)]))


async def register(fleet: Fleet, worker_id: UUID | None = None, **changes: Any) -> WorkerIdentity:
    facts: dict[str, Any] = {
        "id": worker_id or uuid4(),
        "name": f"w-{uuid4().hex[:8]}",
        "host": "here",
        "pid": 1,
        "kinds": ("echo",),
        "concurrency": 4,
        "version": "0",
        "lease_s": 30.0,
    }
    identity = WorkerIdentity(**{**facts, **changes})
    await fleet.register(identity)
    return identity


async def silence(db: Database, worker_id: UUID, *, seconds: float = 3600.0) -> None:
    """Let a worker's last heartbeat lie this long ago."""
    await run(
        db,
        "UPDATE agent_worker.workers SET heartbeat_at = now() - make_interval(secs => %(s)s) WHERE id = %(id)s",
        s=seconds,
        id=worker_id,
    )


async def run(db: Database, query: str, **params: Any) -> None:
    async with db.connection() as conn:
        await conn.execute(query.encode(), params)


async def rows(db: Database, query: str, **params: Any) -> list[tuple[Any, ...]]:
    async with db.connection() as conn:
        cursor = await conn.execute(query.encode(), params)
        return await cursor.fetchall()


async def value(db: Database, query: str, **params: Any) -> Any:
    return (await rows(db, query, **params))[0][0]


async def status_of(db: Database, task_id: UUID) -> str:
    status: str = await value(
        db, "SELECT status FROM public.agent_task_requests WHERE id = %(id)s", id=task_id
    )
    return status


async def until_blocked(db: Database, conn: Connection) -> None:
    """Wait until a connection waits for a lock."""

    async def is_blocked() -> bool:
        query = "SELECT cardinality(pg_blocking_pids(%(pid)s)) > 0"
        return bool(await value(db, query, pid=conn.info.backend_pid))

    await eventually(is_blocked)


@contextlib.asynccontextmanager
async def acting_as(
    db: Database, role: str, claims: dict[str, Any] | None = None
) -> AsyncIterator[Connection]:
    """Open a transaction as PostgREST does it: a role and the claims of a JWT. Errors stay the driver's."""
    async with await psycopg.AsyncConnection.connect(db.conninfo) as conn:
        await conn.execute(
            "SELECT set_config('role', %s, true), set_config('request.jwt.claims', %s, true)",
            [role, json.dumps(claims) if claims is not None else ""],
        )
        yield conn


def user(user_id: UUID, **claims: Any) -> dict[str, Any]:
    return {"sub": str(user_id), "role": "authenticated", **claims}
