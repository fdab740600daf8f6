"""Each rule of the check notices what it is there for."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import UUID

import pytest

from agent_worker.db.connection import Database
from tests.chaos.invariants import RULES, check, prepare
from tests.db.steps import run

TASK = UUID(int=7)

ENDED = (
    "INSERT INTO public.agent_task_requests "
    "(id, kind, status, attempt, worker_id, request_payload, response_payload, finished_at) "
    "VALUES (%(id)s, 'play', 'completed', 1, %(id)s, '{\"n\": 1}', '{\"answer\": 1, \"run\": \"r1\"}', now())"
)
SAID = "INSERT INTO public.agent_task_events (task_id, seq, type, attempt) VALUES (%(id)s, {}, '{}', 1)"

START = {"what": "start", "at": 100, "pid": 1, "task": str(TASK), "attempt": 1, "run": "r1", "key": ""}
END = {**START, "what": "end", "at": 200}
DONE = {**START, "what": "done", "at": 110, "key": "pay"}
AGAIN = {**START, "at": 150, "pid": 2, "run": "r2"}

BREACHES: dict[str, tuple[str, list[dict[str, object]]]] = {
    "every inserted task is there": ("DELETE FROM public.agent_task_requests", []),
    "an outcome is recorded once": (
        'UPDATE public.agent_task_requests SET response_payload = \'{"run": "r1", "answer": 1, "x": 2}\'',
        [],
    ),
    "every task has ended": ("INSERT INTO public.agent_task_requests (kind) VALUES ('play')", []),
    "attempts stay within": ("UPDATE public.agent_task_requests SET attempt = 0", []),
    "events are numbered from 1": (SAID.format(2, "text-delta"), []),
    "a stream is closed at most once": (f"{SAID.format(1, 'finish')}, (%(id)s, 2, 'finish', 1)", []),
    "nothing is left of a task that is gone": (
        "INSERT INTO public.agent_task_events (task_id, seq, type, attempt) VALUES (gen_random_uuid(), 1, 'x', 1)",
        [],
    ),
    "a step whose result is stored": (
        "SELECT 1",
        [DONE, {**AGAIN, "at": 300}, {**AGAIN, "what": "effect", "at": 301, "key": "pay"}],
    ),
    "two workers run a task at once": ("SELECT 1", [AGAIN]),
    "the recorded outcome is that of": ("SELECT 1", [{**AGAIN, "at": 300, "attempt": 2}]),
    "a task fails only for lost workers": ("UPDATE public.agent_task_requests SET status = 'cancelled'", []),
}


@pytest.fixture
async def books(db: Database) -> Database:
    """One task in order."""
    await prepare(db)
    await run(
        db,
        "INSERT INTO agent_worker.workers (id, name, host, pid, kinds, concurrency, version, lease_s) "
        "VALUES (%(id)s, 'one', 'here', 1, '{play}', 1, '0', 30)",
        id=TASK,
    )
    await run(db, ENDED, id=TASK)
    return db


def ledger(folder: Path, *notes: dict[str, object]) -> Path:
    path = folder / "ledger"
    path.write_text("".join(json.dumps(note) + "\n" for note in notes))
    return path


async def test_books_in_order_pass(books: Database, tmp_path: Path) -> None:
    await check(books, [TASK], ledger(tmp_path, START, END))


@pytest.mark.parametrize("rule", BREACHES)
async def test_a_breach_is_named_by_its_rule(books: Database, tmp_path: Path, rule: str) -> None:
    statement, notes = BREACHES[rule]
    await run(books, statement, id=TASK)
    with pytest.raises(AssertionError, match=rule):
        await check(books, [TASK], ledger(tmp_path, START, END, *notes))


def test_every_rule_has_a_breach() -> None:
    assert all(any(rule.startswith(start) for start in BREACHES) for rule in RULES)
    assert len(BREACHES) == len(RULES)
