"""Whatever is called in whatever order, a task only ever moves as `ALLOWED` says, and its books stay in order."""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queue import Batch, Queue, Said, Spawned
from agent_worker.domain.events import Event
from agent_worker.domain.task import ALLOWED, Lease, TaskStatus
from agent_worker.testing.postgres import TestDatabases, insert_task
from tests.db.steps import ask, await_child, claim_all, final, rows, run

WATCH = """
    CREATE TABLE public.moves (task_id uuid, old text, new text);
    CREATE FUNCTION public.note_move() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO public.moves VALUES (new.id, old.status, new.status);
      RETURN NULL;
    END $$;
    CREATE TRIGGER note_move AFTER UPDATE ON public.agent_task_requests FOR EACH ROW
      WHEN (old.status <> new.status) EXECUTE FUNCTION public.note_move();
"""

BROKEN_BOOKS = """
    SELECT id, status FROM public.agent_task_requests
    WHERE (status IN ('completed', 'failed', 'cancelled')) <> (finished_at IS NOT NULL)
       OR (status IN ('completed', 'failed', 'cancelled')) <> (response_payload IS NOT NULL)
       OR (status IN ('pending', 'waiting') AND worker_id IS NOT NULL)
       OR (status = 'processing' AND (worker_id IS NULL OR attempt = 0 OR run_at IS NOT NULL))
"""


@pytest.fixture
def database_url(databases: TestDatabases) -> Iterator[str]:
    """A database of the test's own, because it adds a trigger."""
    with databases.migrated() as url:
        yield url


class Chaos:
    """Workers, clients and upkeep that do one random thing at a time."""

    def __init__(self, db: Database, seed: int) -> None:
        self.db = db
        self.fleet = Fleet(db)
        self.queues = [Queue(db, uuid4()) for _ in range(2)]
        self.dice = random.Random(seed)  # noqa: S311 - repeatable on purpose

    async def act(self) -> None:
        deeds = [
            self.insert,
            self.claim,
            self.claim,
            self.end,
            self.end,
            self.cancel,
            self.upkeep,
            self.answer,
        ]
        await self.dice.choice([*deeds, self.reset])()

    async def insert(self) -> None:
        await insert_task(
            self.db, max_attempts=self.dice.randint(1, 2), run_at=self.dice.choice([None, "2030-01-01"])
        )

    async def claim(self) -> None:
        await claim_all(self.dice.choice(self.queues), limit=2)

    async def end(self) -> None:
        """End a held task in one of the ways there are, sometimes with a lease that is long lost."""
        queue = self.dice.choice(self.queues)
        known = await rows(self.db, "SELECT id, attempt FROM public.agent_task_requests WHERE attempt > 0")
        if not known:
            return
        task_id, attempt = self.dice.choice(known)
        lease = Lease(task_id, attempt, queue.worker_id)
        child = Spawned(lease, "child", uuid4(), "echo", {})
        delay_s = self.dice.choice([0.0, 60.0])
        ways = [
            Batch(finals=[final(lease, self.dice.choice(["completed", "failed", "cancelled"]))]),
            Batch(retries=[(lease, delay_s)]),
            Batch(releases=[(lease, delay_s)]),
            Batch(parks=[(lease, ask(timeout_s=self.dice.choice([None, 0.0])))]),
            Batch(children=[child], parks=[(lease, await_child(child.child_id))]),
            Batch(events=[Said(lease, await queue.last_event_seq(task_id) + 1, Event("x", {}))]),
        ]
        await queue.write(self.dice.choice(ways))

    async def cancel(self) -> None:
        await self._change_one("cancel_requested_at = now()", "true")

    async def reset(self) -> None:
        await self._change_one("status = 'pending'", "status <> 'pending'")

    async def answer(self) -> None:
        await run(
            self.db,
            "UPDATE public.human_tasks SET response = '{}' WHERE id IN "
            "(SELECT id FROM public.human_tasks WHERE status = 'pending' ORDER BY id LIMIT 1)",
        )

    async def upkeep(self) -> None:
        match self.dice.randrange(4):
            case 0:
                await self.fleet.rescue(limit=2)
            case 1:
                await run(
                    self.db, "UPDATE public.agent_task_requests SET run_at = now() WHERE run_at > now()"
                )
                await self.fleet.stage(limit=5)
            case 2:
                await self.fleet.expire_questions(limit=5)
            case _:
                await self.fleet.prune(retention_s=0.0, limit=1)

    async def _change_one(self, change: str, where: str) -> None:
        known = await rows(self.db, f"SELECT id FROM public.agent_task_requests WHERE {where}")
        if known:
            task_id: UUID = self.dice.choice(known)[0]
            await run(
                self.db, f"UPDATE public.agent_task_requests SET {change} WHERE id = %(id)s", id=task_id
            )


@pytest.mark.parametrize("seed", range(4))
async def test_tasks_move_only_as_allowed(db: Database, seed: int) -> None:
    await run(db, WATCH)
    chaos = Chaos(db, seed)

    for _ in range(150):
        await chaos.act()
        assert await rows(db, BROKEN_BOOKS) == []

    moves = {
        (TaskStatus(old), TaskStatus(new)) for old, new in await rows(db, "SELECT old, new FROM public.moves")
    }
    assert {move for move in moves if move[1] not in ALLOWED[move[0]]} == set()
    assert len(moves) > 6
    gaps = await rows(
        db, "SELECT task_id FROM public.agent_task_events GROUP BY task_id HAVING max(seq) <> count(*)"
    )
    assert gaps == []
