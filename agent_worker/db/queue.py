"""Tasks, as a worker takes and returns them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString
from uuid import UUID

from agent_worker.db.arrays import BigintArray, DoubleArray, IntArray, TextArray, UuidArray
from agent_worker.db.transport import Transport
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, dump_json
from agent_worker.domain.lanes import Span
from agent_worker.domain.replay import Call, Checkpoint, Question
from agent_worker.domain.task import Lease, Resume, Task, TaskStatus

PAGE = 1_000
"""Checkpoints that are read at once: some tasks remember tens of thousands, and others wait for the event loop."""


@dataclass(frozen=True, slots=True)
class Said:
    """An event with its number in the task's stream, from 1 without a gap."""

    lease: Lease
    seq: int
    event: Event


@dataclass(frozen=True, slots=True)
class Delta:
    """Text to broadcast before its row is written.

    Attributes:
        seq: The number that the row will have.
        part: Which piece of the row this is, from 0.
    """

    lease: Lease
    seq: int
    part: int
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Final:
    """A final outcome to write; `response` is JSON text."""

    lease: Lease
    status: TaskStatus
    response: str


@dataclass(frozen=True, slots=True)
class Spawned:
    """A child to insert once."""

    lease: Lease
    key: str
    child_id: UUID
    kind: str
    payload: JsonObject


class Claimed(list[Task]):
    """What a claim took: the most urgent first, and of these the oldest.

    Attributes:
        is_held_back: Whether a limit kept more tasks from starting.
        wait_s: Seconds until a rate allows the next of them; None when it takes the end of another task.
    """

    def __init__(
        self, tasks: Iterable[Task] = (), *, is_held_back: bool = False, wait_s: float | None = None
    ) -> None:
        super().__init__(tasks)
        self.is_held_back = is_held_back
        self.wait_s = wait_s


@dataclass(slots=True)
class Batch:
    """Writes that commit together. Within a task the order is: deltas, events, checkpoints, children, progress, outcome."""

    deltas: list[Delta] = field(default_factory=list)
    events: list[Said] = field(default_factory=list)
    checkpoints: list[tuple[Lease, Checkpoint]] = field(default_factory=list)
    children: list[Spawned] = field(default_factory=list)
    progress: dict[Lease, JsonObject] = field(default_factory=dict)
    finals: list[Final] = field(default_factory=list)
    retries: list[tuple[Lease, float]] = field(default_factory=list)
    releases: list[tuple[Lease, float]] = field(default_factory=list)
    parks: list[tuple[Lease, Question]] = field(default_factory=list)

    def leases(self) -> set[Lease]:
        """Every lease that something in here names."""
        return {
            *(delta.lease for delta in self.deltas),
            *(said.lease for said in self.events),
            *(lease for lease, _ in self.checkpoints),
            *(child.lease for child in self.children),
            *self.progress,
            *(final.lease for final in self.finals),
            *(lease for lease, _ in self.retries),
            *(lease for lease, _ in self.releases),
            *(lease for lease, _ in self.parks),
        }

    def only(self, lease: Lease) -> Batch:
        """Return the part that belongs to one lease."""
        return self._where(lambda each: each == lease)

    def without(self, leases: Container[Lease]) -> Batch:
        """Return the part that belongs to none of these leases."""
        return self._where(lambda each: each not in leases)

    def _where(self, is_kept: Callable[[Lease], bool]) -> Batch:
        return Batch(
            deltas=[delta for delta in self.deltas if is_kept(delta.lease)],
            events=[said for said in self.events if is_kept(said.lease)],
            checkpoints=[item for item in self.checkpoints if is_kept(item[0])],
            children=[child for child in self.children if is_kept(child.lease)],
            progress={lease: value for lease, value in self.progress.items() if is_kept(lease)},
            finals=[final for final in self.finals if is_kept(final.lease)],
            retries=[item for item in self.retries if is_kept(item[0])],
            releases=[item for item in self.releases if is_kept(item[0])],
            parks=[item for item in self.parks if is_kept(item[0])],
        )

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        outcomes = self.finals or self.retries or self.releases or self.parks
        said = self.deltas or self.events
        return not (outcomes or said or self.checkpoints or self.children or self.progress)

    @property
    def is_one_statement(self) -> bool:
        """Whether only one kind of batched outcome is in it, so that no transaction is needed around it."""
        told = self.events or self.checkpoints
        groups = (self.deltas, told, self.progress, self.finals, self.retries, self.releases)
        singles = self.children or self.parks
        return not singles and sum(bool(group) for group in groups) == 1


class Queue:
    """The queue through the eyes of one worker. Every write names the worker's lease and is fenced by it."""

    def __init__(self, transport: Transport, worker_id: UUID) -> None:
        self._transport = transport
        self.worker_id = worker_id

    async def claim(self, spans: Sequence[Span], limit: int) -> Claimed:
        """Take up to `limit` due tasks, span after span; two workers never hold one task."""
        rows = await self._transport.call(
            "claim",
            {
                "worker_id": self.worker_id,
                "kinds": TextArray(span.kind for span in spans),
                "priorities": IntArray(span.priority for span in spans),
                "low_enterprises": TextArray(span.low[0] for span in spans),
                "low_users": UuidArray(span.low[1] for span in spans),
                "low_seqs": BigintArray(span.low[2] for span in spans),
                "high_enterprises": TextArray(span.high[0] for span in spans),
                "high_users": UuidArray(span.high[1] for span in spans),
                "high_seqs": BigintArray(span.high[2] for span in spans),
                "quotas": IntArray(span.quota for span in spans),
                "limit": limit,
            },
        )
        held_back = rows.pop() if rows and rows[-1][0] is None else None
        tasks = sorted(map(_task, rows), key=_turn)
        if held_back:
            return Claimed(tasks, is_held_back=True, wait_s=held_back[13])
        return Claimed(tasks)

    async def write(self, batch: Batch) -> set[Lease]:
        """Commit a batch and return the leases that are lost: nothing of theirs was written.

        Raises:
            DatabaseUnavailable: Nothing, or with a cut connection perhaps all, was written; write it again.
            ValueRefused: A value does not fit the database (see `agent_worker.worker.recorder`).
        """
        if batch.is_one_statement:
            return await self._write(self._transport, batch)
        async with self._transport.together() as calls:
            return await self._write(calls, batch)

    async def _write(self, calls: Transport, batch: Batch) -> set[Lease]:
        lost: set[Lease] = set()
        if batch.deltas:
            lost |= await self._broadcast(calls, batch.deltas)
        if batch.events or batch.checkpoints:
            lost |= await self._tell(calls, batch)
        for child in batch.children:
            await self._single(
                calls,
                "spawn",
                child.lease,
                lost,
                key=child.key,
                child_id=child.child_id,
                kind=child.kind,
                payload=dump_json(child.payload),
            )
        if batch.progress:
            leases = sorted(batch.progress, key=_by_task)
            values = TextArray(dump_json(batch.progress[lease]) for lease in leases)
            lost |= await self._fenced(calls, "report_progress", leases, progress=values)
        if batch.finals:
            unwritten = await self._finish(calls, batch.finals)
            # Sent again after a cut connection, events of a finished task are refused though its outcome stands.
            lost = (lost.difference(final.lease for final in batch.finals) if lost else lost) | unwritten
        if batch.retries:
            lost |= await self._put_off(calls, "retry", batch.retries)
        if batch.releases:
            lost |= await self._put_off(calls, "release", batch.releases)
        for lease, question in batch.parks:
            await self._single(calls, "park", lease, lost, **_question_params(question))
        return lost

    async def _broadcast(self, calls: Transport, deltas: Iterable[Delta]) -> set[Lease]:
        deltas = sorted(deltas, key=lambda delta: _by_task(delta.lease))
        return await self._fenced(
            calls,
            "broadcast_deltas",
            [delta.lease for delta in deltas],
            seqs=IntArray(delta.seq for delta in deltas),
            parts=IntArray(delta.part for delta in deltas),
            events=TextArray(_wire(delta.events) for delta in deltas),
        )

    async def _tell(self, calls: Transport, batch: Batch) -> set[Lease]:
        """Write events and checkpoints: what the end of a step consists of, in one statement."""
        events = sorted(batch.events, key=lambda said: _by_task(said.lease))
        leases = [said.lease for said in events]
        seqs = IntArray(said.seq for said in events)
        types = TextArray(said.event.type for said in events)
        data = TextArray(dump_json(said.event.data) for said in events)
        if not batch.checkpoints:
            return await self._fenced(calls, "append_events", leases, seqs=seqs, types=types, data=data)
        # The last of a key counts; a statement may write a row only once.
        newest = {(lease, checkpoint.key): checkpoint for lease, checkpoint in batch.checkpoints}
        steps = sorted(newest.items(), key=lambda item: _by_task(item[0][0]))
        step_leases = [lease for (lease, _), _ in steps]
        return await self._fenced(
            calls,
            "record_steps",
            leases,
            also=step_leases,
            seqs=seqs,
            types=types,
            data=data,
            step_ids=UuidArray(lease.task_id for lease in step_leases),
            step_attempts=IntArray(lease.attempt for lease in step_leases),
            step_keys=TextArray(checkpoint.key for _, checkpoint in steps),
            step_calls=TextArray(checkpoint.call.value for _, checkpoint in steps),
            step_values=TextArray(checkpoint.text or dump_json(checkpoint.value) for _, checkpoint in steps),
        )

    async def _finish(self, calls: Transport, finals: Iterable[Final]) -> set[Lease]:
        finals = sorted(finals, key=lambda final: _by_task(final.lease))
        return await self._fenced(
            calls,
            "finish",
            [final.lease for final in finals],
            statuses=TextArray(final.status for final in finals),
            responses=TextArray(final.response for final in finals),
        )

    async def _put_off(
        self, calls: Transport, name: LiteralString, delayed: Iterable[tuple[Lease, float]]
    ) -> set[Lease]:
        delayed = sorted(delayed, key=lambda item: _by_task(item[0]))
        delays_s = DoubleArray(delay_s for _, delay_s in delayed)
        return await self._fenced(calls, name, [lease for lease, _ in delayed], delays_s=delays_s)

    async def _fenced(
        self,
        calls: Transport,
        name: LiteralString,
        leases: Sequence[Lease],
        *,
        also: Sequence[Lease] = (),
        **columns: object,
    ) -> set[Lease]:
        """Make a call that names what it lost; `also` are leases that stand in its own columns."""
        params: dict[str, object] = {
            "worker_id": self.worker_id,
            "ids": UuidArray(lease.task_id for lease in leases),
            "attempts": IntArray(lease.attempt for lease in leases),
            **columns,
        }
        lost = {row[0] for row in await calls.call(name, params)}
        return {lease for lease in (*leases, *also) if lease.task_id in lost} if lost else set()

    async def _single(
        self, calls: Transport, name: LiteralString, lease: Lease, lost: set[Lease], **columns: object
    ) -> None:
        params = {"worker_id": self.worker_id, "task_id": lease.task_id, "attempt": lease.attempt, **columns}
        rows = await calls.call(name, params)
        if not rows or not rows[0][0]:
            lost.add(lease)

    async def load_checkpoints(self, task_id: UUID) -> dict[str, Checkpoint]:
        """Return everything the task remembers, by key."""
        return await load_checkpoints(self._transport, task_id)

    async def last_event_seq(self, task_id: UUID) -> int:
        """Return the number of the last event in the task's stream; 0 when it has said nothing yet."""
        ((seq,),) = await self._transport.call("last_event_seq", {"task_id": task_id})
        return int(seq)

    async def held(self) -> list[Lease]:
        """Return what this worker holds, as the database sees it."""
        rows = await self._transport.call("held_tasks", {"worker_id": self.worker_id})
        return [Lease(task_id, attempt, self.worker_id) for task_id, attempt in rows]

    async def cancel_requests(self, task_ids: Iterable[UUID]) -> list[UUID]:
        """Return those of these tasks that this worker holds and that somebody asked to cancel."""
        ((ids,),) = await self._transport.call(
            "cancel_requests", {"worker_id": self.worker_id, "ids": UuidArray(task_ids)}
        )
        return list(ids)


async def load_checkpoints(transport: Transport, task_id: UUID) -> dict[str, Checkpoint]:
    """Return everything a task remembers, by key; a page at a time, so that no statement becomes long."""
    known: dict[str, Checkpoint] = {}
    after = ""
    while True:
        rows = await transport.call("load_checkpoints", {"task_id": task_id, "after": after, "limit": PAGE})
        known |= {key: Checkpoint(key, Call(call), value, is_done) for key, call, value, is_done in rows}
        if len(rows) < PAGE:
            return known
        after = rows[-1][0]


def _wire(events: Sequence[Event]) -> str:
    return dump_json([{"type": event.type, "data": event.data} for event in events])


def _by_task(lease: Lease) -> int:
    """Order rows as every writer locks them. An integer: UUIDs compare in Python, several times slower."""
    return lease.task_id.int


_RESUMES: dict[str | None, Resume] = {None: Resume.FRESH, **{resume.value: resume for resume in Resume}}


def _task(row: tuple[Any, ...]) -> Task:
    """Make a task of a row of claim(), whose columns have the order of the fields."""
    fields = (*row[:12], _RESUMES[row[12]], *row[13:])
    return Task._make(fields)


def _turn(task: Task) -> tuple[int, int]:
    return -task.priority, task.seq


def _question_params(question: Question) -> dict[str, object]:
    return {
        "key": question.key,
        "call": question.call.value,
        "child_id": question.child_id,
        "fields": dump_json(question.fields),
        "timeout_s": question.timeout_s,
    }
