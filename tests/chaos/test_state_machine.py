"""A model of the task's states in Python beside the SQL functions: whatever is called, both say the same.

Several workers act in random order, with leases that hold and leases long lost. Hypothesis looks for a sequence after
which the database is not what the model says, and shortens it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, LiteralString, TypeAlias, TypeVar
from uuid import UUID, uuid4

import psycopg
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agent_worker.db.connection import Database
from agent_worker.db.fleet import Fleet
from agent_worker.db.queries import sql
from agent_worker.db.queue import Queue
from agent_worker.domain.json import dump_json
from agent_worker.domain.lanes import whole_level
from agent_worker.domain.task import FINAL, Lease, TaskStatus
from tests.chaos.conftest import Rounds
from tests.chaos.model import CANCELLED, COMPLETED, FAILED, LOOK, PENDING, PROCESSING, WAITING, Model
from tests.db.steps import ask

WORKERS = [UUID(int=n) for n in (1, 2, 3)]

Chosen = TypeVar("Chosen")

Which: TypeAlias = tuple[int, bool]
"""Chooses a task or a lease: by a number, and only among what is there and held, or among all that ever was."""
KEYS = st.sampled_from("ab")
WHICH = st.tuples(st.integers(0, 5), st.sampled_from([True, True, True, False]))

EMPTY: LiteralString = """
    DELETE FROM public.agent_task_requests;
    DELETE FROM public.agent_task_events;
    DELETE FROM agent_worker.workers;
"""


class Machine(RuleBasedStateMachine):
    """Every call of a worker or a client, and what the model expects of it; subclassed with a database."""

    runner: asyncio.Runner
    db: Database

    def __init__(self) -> None:
        super().__init__()
        self.conn = psycopg.connect(self.db.conninfo, autocommit=True)
        self.conn.execute(EMPTY)
        self.model: dict[UUID, Model] = {}
        self.tasks: list[UUID] = []
        """All there ever were."""
        self.leases: list[Lease] = []
        """The same."""

    def teardown(self) -> None:
        self.conn.close()

    @initialize()
    def enter_workers(self) -> None:
        for worker in WORKERS:
            self._enter(worker)

    # Clients

    @precondition(lambda self: self.tasks)
    @rule(
        which=WHICH,
        deed=st.sampled_from(["cancel", "redrive", "redrive", "answer", "answer", "delete"]),
        key=KEYS,
    )
    def ask_of_a_task(self, which: Which, deed: str, key: str) -> None:
        task = self._task(which)
        match deed:
            case "cancel":
                self._cancel(task)
            case "redrive":
                self._redrive(task)
            case "answer":
                self._answer(task, key)
            case "delete":
                self._delete(task)

    @rule(max_attempts=st.integers(1, 3), is_later=st.booleans())
    def insert(self, max_attempts: int, is_later: bool) -> None:
        task = uuid4()
        self.conn.execute(
            "INSERT INTO public.agent_task_requests (id, kind, max_attempts, run_at) "
            "VALUES (%s, 'echo', %s, CASE WHEN %s THEN now() + interval '1 hour' END)",
            [task, max_attempts, is_later],
        )
        self.model[task] = Model(max_attempts, is_later)
        self.tasks.append(task)

    def _cancel(self, task: UUID) -> None:
        changes = self._run("cancel_tasks", ids=[task])
        model = self.model.get(task)
        if model is None:
            assert changes == []
            return
        before = model.status
        if before not in FINAL and not model.is_cancelled:
            model.is_cancelled = True
            if before is not PROCESSING:
                model.end(CANCELLED, "cancelled")
        assert changes == [(task, before.value, model.status.value)]

    def _redrive(self, task: UUID) -> None:
        changes = self._run("retry_tasks", ids=[task])
        model = self.model.get(task)
        if model is None:
            assert changes == []
            return
        before = model.status
        if before in FINAL:
            model.max_attempts = model.attempt + min(model.max_attempts, 25)
            model.move(PENDING)
            model.worker, model.code, model.is_cancelled, model.is_later = None, None, False, False
            model.resume = "retry"
            for key in [key for key, state in model.questions.items() if state in {"cancelled", "expired"}]:
                del model.questions[key], model.done[key]
        assert changes == [(task, before.value, model.status.value)]

    def _delete(self, task: UUID) -> None:
        deleted = self.conn.execute("DELETE FROM public.agent_task_requests WHERE id = %s", [task]).rowcount
        assert deleted == (self.model.pop(task, None) is not None)

    def _answer(self, task: UUID, key: str) -> None:
        answered = self.conn.execute(
            "UPDATE public.human_tasks SET response = '{}' WHERE task_id = %s AND key = %s AND status = 'pending'",
            [task, key],
        ).rowcount
        model = self.model.get(task)
        is_open = model is not None and model.questions.get(key) == "pending"
        assert answered == is_open
        if model is not None and is_open:
            self._wake(model, key, "completed")

    # Workers

    @precondition(lambda self: self._any(PENDING))
    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: UUID) -> None:
        """Claims all that is due: which of them comes first after a rescue or a postponement, nobody promises."""
        claimed = self.runner.run(Queue(self.db, worker).claim([whole_level("echo", 0)], 1000))
        claimed.sort(key=lambda task: self.tasks.index(task.id))
        assert [task.id for task in claimed] == [
            task
            for task in self.tasks
            if (model := self.model.get(task)) is not None and model.status is PENDING and not model.is_later
        ]
        for task in claimed:
            model = self.model[task.id]
            model.move(PROCESSING)
            model.attempt += 1
            model.worker = worker
            assert (task.attempt, task.max_attempts, task.resume) == (
                model.attempt,
                model.max_attempts,
                model.resume,
            )
        self.leases += [Lease(task.id, task.attempt, worker) for task in claimed]

    @precondition(lambda self: self.leases)
    @rule(
        which=WHICH,
        deed=st.sampled_from(["finish", "retry", "release", "park", "park", "speak", "save"]),
        status=st.sampled_from([COMPLETED, FAILED, CANCELLED]),
        delay_s=st.sampled_from([0.0, 60.0]),
        key=KEYS,
    )
    def write(self, which: Which, deed: str, status: TaskStatus, delay_s: float, key: str) -> None:
        lease = self._lease(which)
        match deed:
            case "finish":
                self._finish(lease, status)
            case "retry":
                self._retry(lease, delay_s)
            case "release":
                self._release(lease, delay_s)
            case "park":
                self._park(lease, key)
            case "speak":
                self._speak(lease)
            case "save":
                self._save(lease, f"step {key}")

    def _finish(self, lease: Lease, status: TaskStatus) -> None:
        response = {"answer": 1} if status is COMPLETED else {"error": "no", "code": "no", "retryable": False}
        model = self.model.get(lease.task_id)
        has_said_so = model is not None and (model.status, model.attempt, model.worker) == (
            *(status, lease.attempt),
            lease.worker_id,
        )
        self._fenced(
            *("finish", lease, lambda held: held.end(status, None if status is COMPLETED else "no")),
            is_known=has_said_so,
            statuses=[status.value],
            responses=[dump_json(response)],
        )

    def _retry(self, lease: Lease, delay_s: float) -> None:
        model = self.model.get(lease.task_id)
        if model is not None and model.is_held_by(lease) and model.attempt == model.max_attempts:
            return  # a worker fails it instead; the table refuses a pending task that nobody may claim
        self._fenced(
            *("retry", lease, lambda held: held.give_back("retry", is_later=delay_s > 0)), delays_s=[delay_s]
        )

    def _release(self, lease: Lease, delay_s: float) -> None:
        resume = "postponed" if delay_s else "rescued"

        def give_back(held: Model) -> None:
            held.give_back(resume, is_later=delay_s > 0, keeps_attempt=False)

        self._fenced("release", lease, give_back, delays_s=[delay_s])

    def _park(self, lease: Lease, key: str) -> None:
        question = ask(key, timeout_s=3600.0)
        ((said,),) = self._run(
            "park",
            worker_id=lease.worker_id,
            task_id=lease.task_id,
            attempt=lease.attempt,
            key=key,
            call="human",
            child_id=None,
            timeout_s=3600.0,
            fields=dump_json(question.fields),
        )
        model = self.model.get(lease.task_id)
        if model is None or not model.is_held_by(lease):
            assert said is None
            return
        model.attempt -= 1
        model.worker = None
        if model.is_cancelled:
            model.end(CANCELLED, "cancelled")
        else:
            model.move(WAITING)
            model.questions.setdefault(key, "pending")
            if model.done.setdefault(key, False):
                model.move(PENDING)
                model.resume, model.is_later = "answered", False
        assert said == model.status.value

    def _speak(self, lease: Lease) -> None:
        model = self.model.get(lease.task_id)

        def hear(held: Model) -> None:
            held.events += 1

        self._fenced(
            *("append_events", lease, hear),
            seqs=[(model.events if model else 0) + 1],
            types=["text-delta"],
            data=["{}"],
        )

    def _save(self, lease: Lease, key: str) -> None:
        lost = self._run(
            "record_steps",
            worker_id=lease.worker_id,
            ids=[],
            attempts=[],
            seqs=[],
            types=[],
            data=[],
            step_ids=[lease.task_id],
            step_attempts=[lease.attempt],
            step_keys=[key],
            step_calls=["step"],
            step_values=["1"],
        )
        model = self.model.get(lease.task_id)
        is_held = model is not None and model.is_held_by(lease)
        assert (not lost) == is_held
        if model is not None and is_held:
            model.done[key] = True

    # Upkeep

    @precondition(lambda self: self._any(PROCESSING))
    @rule(worker=st.sampled_from(WORKERS))
    def rescue(self, worker: UUID) -> None:
        """The worker falls silent, is given up, and comes back."""
        self.conn.execute(
            "UPDATE agent_worker.workers SET heartbeat_at = now() - interval '1 hour' WHERE id = %s", [worker]
        )
        rescued = self.runner.run(Fleet(self.db).rescue(limit=100))
        held = [
            model for model in self.model.values() if (model.status, model.worker) == (PROCESSING, worker)
        ]
        for model in held:
            if not model.is_cancelled and model.attempt == model.max_attempts:
                model.worker, model.resume = None, "rescued"
                model.end(FAILED, "worker_lost")
            else:
                model.give_back("rescued")
            model.events += 1
        ends = Counter(model.status for model in held)
        assert (rescued.retried, rescued.failed, rescued.cancelled) == (
            ends[PENDING],
            ends[FAILED],
            ends[CANCELLED],
        )
        ((is_known, *_),) = self._run("heartbeat", worker_id=worker, in_flight=0)
        assert is_known

    @precondition(lambda self: any(model.is_later for model in self.model.values()))
    @rule()
    def stage(self) -> None:
        due = [model for model in self.model.values() if model.status is PENDING and model.is_later]
        self.conn.execute(
            "UPDATE public.agent_task_requests SET run_at = now() WHERE run_at > now() AND status = 'pending'"
        )
        assert self.runner.run(Fleet(self.db).stage(limit=100)).staged == len(due)
        for model in due:
            model.is_later = False

    @precondition(lambda self: any("pending" in model.questions.values() for model in self.model.values()))
    @rule()
    def expire(self) -> None:
        self.conn.execute("UPDATE public.human_tasks SET expires_at = now() WHERE status = 'pending'")
        closed = self.runner.run(Fleet(self.db).expire_questions(limit=100))
        is_open = [
            (model, key)
            for model in self.model.values()
            for key, state in model.questions.items()
            if state == "pending"
        ]
        assert closed == len(is_open)
        for model, key in is_open:
            self._wake(model, key, "expired")

    # Both agree

    @invariant()
    def database_is_as_modelled(self) -> None:
        rows = {row[0]: tuple(row[1:]) for row in self.conn.execute(LOOK).fetchall()}
        assert rows == {task: model.row() for task, model in self.model.items()}

    def _any(self, status: TaskStatus) -> bool:
        return any(model.status is status for model in self.model.values())

    def _task(self, which: Which) -> UUID:
        alive = [task for task in self.tasks if task in self.model]
        return _chosen(self.tasks, alive, which)

    def _lease(self, which: Which) -> Lease:
        held = [
            lease
            for lease in self.leases
            if (model := self.model.get(lease.task_id)) is not None and model.is_held_by(lease)
        ]
        return _chosen(self.leases, held, which)

    def _wake(self, model: Model, key: str, state: str) -> None:
        model.close(key, state)
        if model.status is WAITING:
            model.move(PENDING)
            model.resume, model.is_later = "answered", False

    def _fenced(
        self,
        name: LiteralString,
        lease: Lease,
        act: Callable[[Model], None],
        /,
        *,
        is_known: bool = False,
        **columns: Any,
    ) -> None:
        lost = self._run(
            name, worker_id=lease.worker_id, ids=[lease.task_id], attempts=[lease.attempt], **columns
        )
        model = self.model.get(lease.task_id)
        is_held = model is not None and model.is_held_by(lease)
        assert lost == ([] if is_held or is_known else [(lease.task_id,)])
        if model is not None and is_held:
            act(model)

    def _run(self, name: LiteralString, /, **params: Any) -> list[tuple[Any, ...]]:
        return self.conn.execute(sql(name), params).fetchall()

    def _enter(self, worker: UUID) -> None:
        self._run(
            "register_worker",
            id=worker,
            name=str(worker),
            host="here",
            pid=1,
            kinds=["echo"],
            concurrency=1,
            version="0",
            lease_s=30.0,
            payload_schemas="{}",
        )


def _chosen(all_of_them: Sequence[Chosen], current: Sequence[Chosen], which: Which) -> Chosen:
    number, is_current = which
    among = current if is_current and current else all_of_them
    return among[-1 - number % len(among)]


def test_the_sql_functions_do_what_the_model_says(
    database_url: str, dice: random.Random, rounds: Rounds
) -> None:
    chosen = settings(
        max_examples=40,
        stateful_step_count=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        db = Database(database_url)
        runner.run(db.open())
        try:
            for _ in rounds(1):
                machine = type("Machine", (Machine,), {"runner": runner, "db": db})
                run_state_machine_as_test(seed(dice.getrandbits(32))(machine), settings=chosen)
        finally:
            runner.run(db.close())
