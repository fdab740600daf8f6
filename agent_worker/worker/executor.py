"""Run attempts: one asyncio task each, from the claim to the outcome.

Whatever a processor does ends as one `Outcome`, which goes to the recorder; the executor hears when it is written.
An attempt is stopped for four reasons: somebody cancelled the task, its time is up, the worker shuts down, or the
lease is lost. A processor that ignores its cancellation is left behind after a grace period: the outcome is recorded
without it, and nothing it does afterwards counts.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

import structlog

from agent_worker.db.definitions import Definitions
from agent_worker.db.queue import Queue
from agent_worker.domain.backoff import Backoff, after_failure
from agent_worker.domain.chat import ChatModel
from agent_worker.domain.errors import (
    Cancelled,
    DatabaseUnavailable,
    LeaseLost,
    ProcessorError,
    UnknownProcessor,
    Unstorable,
)
from agent_worker.domain.images import ImageMaker
from agent_worker.domain.json import JsonObject
from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry
from agent_worker.domain.processor import DEFAULT_TIMEOUT_S, Processor
from agent_worker.domain.replay import Checkpoint, Parked
from agent_worker.domain.task import Lease, Resume, Task
from agent_worker.telemetry import Metrics, TaskLog
from agent_worker.worker.context import LiveContext
from agent_worker.worker.ending import closing_events, completed, deciding
from agent_worker.worker.pool.pool import ProcessPool
from agent_worker.worker.recorder import Fate, Recorder
from agent_worker.worker.threads import run_in_thread

logger = structlog.get_logger(__name__)


class StopReason(enum.Enum):
    """Why a running attempt is stopped from outside."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


@dataclass(slots=True, eq=False)
class _Attempt:
    """A claimed task on its way through this worker. Times are those of `time.monotonic()`."""

    task: Task
    lease: Lease
    started: float
    limit_s: float
    deadline: float
    runner: asyncio.Task[None] | None = None
    ctx: LiveContext | None = None
    stop_reason: StopReason | None = None
    give_up_at: float = 0.0
    """When a stopped processor is left behind."""
    is_again: bool = False
    """An attempt of the same lease was running here when the database gave the task out anew."""
    has_ended: bool = False
    """Its outcome is decided; from here on nothing stops it and nothing it does counts."""


Run: TypeAlias = Callable[[Task, LiveContext], Awaitable[JsonObject | Completed | Failed]]


@dataclass(frozen=True, slots=True)
class _Offer:
    """How tasks of one kind are run."""

    run: Run
    """Returns the processor's response, or what has become of it where it was checked on the spot."""
    limit_s: float
    """Of one attempt, where the task names none."""

    @classmethod
    def of(cls, processor: Processor, run_in_process: Run | None) -> _Offer:
        # An optional attribute of the plug-in contract.
        limit_s = float(getattr(processor, "timeout_s", DEFAULT_TIMEOUT_S))
        if run_in_process is not None:
            return cls(run_in_process, limit_s)
        if inspect.iscoroutinefunction(processor.process):
            return cls(processor.process, limit_s)
        return cls(functools.partial(run_in_thread, processor.process), limit_s)  # type: ignore[arg-type]  # it blocks


class Executor:
    """Runs claimed tasks side by side.

    Args:
        queue: Where tasks live; for what a task remembers.
        recorder: Where outcomes go.
        processors: By kind.
        processes: Run those that ask for a process.
        models: Finds a chat model by id.
        images: Makes pictures; None where no provider of them is set up.
        definitions: Stored definitions by kind of task.
        metrics: Where outcomes are counted.
        backoff: Delay between attempts.
        cancel_grace_s: How long a cancelled processor may take to clean up before it is left behind.
        on_slot_free: Called whenever an attempt has ended.
        on_room: Called when the end of a task that limits count is recorded.
    """

    def __init__(
        self,
        queue: Queue,
        recorder: Recorder,
        *,
        processors: Mapping[str, Processor],
        processes: ProcessPool,
        models: Callable[[str | None], ChatModel],
        images: ImageMaker | None,
        definitions: Callable[[str], Definitions],
        metrics: Metrics,
        backoff: Backoff,
        cancel_grace_s: float,
        on_slot_free: Callable[[], None],
        on_room: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._recorder = recorder
        self._processes = processes
        self._offers = {
            kind: _Offer.of(processor, processes.run if kind in processes.kinds else None)
            for kind, processor in processors.items()
        }
        self._models = models
        self._images = images
        self._definitions = definitions
        self._metrics = metrics
        self._backoff = backoff
        self._cancel_grace_s = cancel_grace_s
        self._on_slot_free = on_slot_free
        self._on_room = on_room
        self._attempts: dict[UUID, _Attempt] = {}
        self._log = TaskLog()
        self._unrecorded: set[UUID] = set()
        self._settling: dict[UUID, asyncio.Event] = {}
        """Unrecorded tasks that the database has given out anew; set when they are recorded."""

    @property
    def in_flight(self) -> int:
        """Attempts that hold a slot."""
        return len(self._attempts)

    @property
    def heavy_in_flight(self) -> int:
        """Attempts that hold a process, or are about to."""
        return sum(attempt.task.kind in self._processes.kinds for attempt in self._attempts.values())

    @property
    def running(self) -> Collection[UUID]:
        """Tasks of the attempts that hold a slot."""
        return self._attempts.keys()

    @property
    def unrecorded(self) -> int:
        """Attempts that have ended and whose outcome is not yet written."""
        return len(self._unrecorded)

    def knows(self, task_id: UUID) -> bool:
        """Whether the task runs here, or has ended here and is not yet recorded."""
        return task_id in self._attempts or task_id in self._unrecorded

    def start(self, task: Task) -> None:
        """Begin an attempt; returns at once."""
        now = time.monotonic()
        offer = self._offers.get(task.kind)
        limit_s = task.timeout_s or (offer.limit_s if offer else DEFAULT_TIMEOUT_S)
        lease = Lease(task.id, task.attempt, self._queue.worker_id)
        attempt = _Attempt(task, lease, now, limit_s, now + limit_s)
        if (previous := self._attempts.get(task.id)) is not None:
            # The database gave the task out anew, so what this one does no longer counts.
            attempt.is_again = previous.lease == lease
            self._end(previous, None)
            if previous.runner is not None:
                previous.runner.cancel()
        self._attempts[task.id] = attempt
        self._metrics.claimed(task.kind, waited_s=task.waited_s)
        self._log.claimed(task)
        attempt.runner = asyncio.get_running_loop().create_task(self._run(attempt))

    def cancel(self, task_ids: Iterable[UUID]) -> None:
        """Stop these tasks, as far as they run here, because somebody asked."""
        for task_id in task_ids:
            if attempt := self._attempts.get(task_id):
                self._stop(attempt, StopReason.CANCEL)

    def lose(self, lease: Lease) -> None:
        """Stop an attempt whose lease is gone."""
        attempt = self._attempts.get(lease.task_id)
        if attempt is not None and attempt.lease == lease and attempt.stop_reason is None:
            logger.warning("lease.lost", task_id=str(lease.task_id), attempt=lease.attempt)
            self._stop(attempt, StopReason.LEASE_LOST)

    def enforce_deadlines(self, now: float) -> int:
        """Stop attempts whose time is up, leave behind those that do not stop; returns how many of both.

        Args:
            now: A reading of `time.monotonic()`.
        """
        late = [
            attempt
            for attempt in self._attempts.values()
            if attempt.stop_reason is None and now >= attempt.deadline
        ]
        stuck = [
            attempt
            for attempt in self._attempts.values()
            if attempt.stop_reason and now >= attempt.give_up_at
        ]
        for attempt in late:
            self._stop(attempt, StopReason.TIMEOUT)
        for attempt in stuck:
            logger.warning("task.left_behind", task_id=str(attempt.task.id), kind=attempt.task.kind)
            self._end(attempt, self._stopped_outcome(attempt))
        return len(late) + len(stuck)

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing runs; false when something still does after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while self._attempts and (left_s := deadline - time.monotonic()) > 0:
            runners = [attempt.runner for attempt in self._attempts.values() if attempt.runner is not None]
            # Not all at once: one that is left behind ends without its runner.
            await asyncio.wait(runners, timeout=min(left_s, 0.1))
        return not self._attempts

    def release_all(self) -> None:
        """Stop what runs and give it back without using up attempts."""
        for attempt in list(self._attempts.values()):
            self._stop(attempt, StopReason.SHUTDOWN)

    def _stop(self, attempt: _Attempt, reason: StopReason) -> None:
        if attempt.stop_reason is None:
            attempt.stop_reason = reason
            attempt.give_up_at = time.monotonic() + self._cancel_grace_s
            if attempt.runner is not None:
                attempt.runner.cancel()

    async def _run(self, attempt: _Attempt) -> None:
        self._end(attempt, await self._outcome(attempt))

    async def _outcome(self, attempt: _Attempt) -> Outcome | None:
        """Run one attempt and judge how it ended; None when the task had moved on."""
        task = attempt.task
        try:
            offer = self._offer(task.kind)
            had_lease = attempt.is_again or task.id in self._unrecorded
            if had_lease:
                await self._settle(attempt)
                if attempt.lease not in await self._queue.held() or attempt.has_ended:
                    return None
            is_fresh = task.resume is Resume.FRESH and not had_lease
            known, last_seq = ({}, 0) if is_fresh else await self._history(task)
            attempt.ctx = ctx = LiveContext(
                task,
                lease=attempt.lease,
                recorder=self._recorder,
                models=self._models,
                images=self._images,
                definitions=self._definitions(task.kind),
                known=known,
                last_seq=last_seq,
                deadline=attempt.deadline,
            )
            response = await offer.run(task, ctx)
            return response if isinstance(response, Completed | Failed) else completed(task, response)
        except asyncio.CancelledError:
            return self._stopped_outcome(attempt)
        except Parked as signal:
            return Park(signal.question)
        except GeneratorExit:  # not raised: this coroutine is thrown away
            raise
        except BaseException as error:  # noqa: BLE001 - the one place that answers for every processor; sys.exit ends no worker
            return self._raised_outcome(task, deciding(error))

    async def _settle(self, attempt: _Attempt) -> None:
        """Wait until an earlier attempt that may have the same lease can write no more.

        A park or a release takes back its count, so the next attempt has the same lease; and so has one whose claim was
        lost with a crash of the server. What is sent again then may still be written, and may take this attempt away.
        """
        task_id = attempt.task.id
        if attempt.is_again:
            await self._recorder.settle(attempt.lease)
        if task_id in self._unrecorded:
            await self._settling.setdefault(task_id, asyncio.Event()).wait()

    def _offer(self, kind: str) -> _Offer:
        try:
            return self._offers[kind]
        except KeyError:
            raise UnknownProcessor(kind, known=tuple(sorted(self._offers))) from None

    async def _history(self, task: Task) -> tuple[dict[str, Checkpoint], int]:
        return await self._queue.load_checkpoints(task.id), await self._queue.last_event_seq(task.id)

    def _stopped_outcome(self, attempt: _Attempt) -> Outcome | None:
        match attempt.stop_reason:
            case StopReason.LEASE_LOST:
                return None
            case StopReason.CANCEL:
                return Cancel("The task was cancelled before it finished.")
            case StopReason.SHUTDOWN:
                return Release()
            case StopReason.TIMEOUT:
                message = f"The attempt took longer than its limit of {attempt.limit_s:g} s."
                return self._failure(attempt.task, ProcessorError(message, code="timeout"))
            case None:
                error = ProcessorError("The processor cancelled itself.", code="internal_error")
                return self._failure(attempt.task, error)

    def _raised_outcome(self, task: Task, error: BaseException) -> Outcome | None:
        match error:
            case Parked():
                return Park(error.question)
            case LeaseLost():
                return None
            case DatabaseUnavailable():
                return Release()
            case Cancelled():
                return Cancel(str(error))
            case ProcessorError():
                return self._failure(task, error)
            case _:
                logger.error(
                    "task.crashed", task_id=str(task.id), kind=task.kind, attempt=task.attempt, exc_info=error
                )
                message = (
                    f"The processor failed with {type(error).__name__}; the worker's log has the details."
                )
                return self._failure(task, ProcessorError(message, code="internal_error"))

    def _failure(self, task: Task, error: ProcessorError) -> Retry | Failed | Release:
        roll = random.random()  # noqa: S311 - jitter
        return after_failure(
            error, attempt=task.attempt, max_attempts=task.max_attempts, backoff=self._backoff, roll=roll
        )

    def _end(self, attempt: _Attempt, outcome: Outcome | None) -> None:
        """Free the slot and hand the outcome to the recorder. The first call for an attempt counts."""
        if attempt.has_ended:
            return
        attempt.has_ended = True
        if self._attempts.get(attempt.task.id) is attempt:
            del self._attempts[attempt.task.id]
        ctx = attempt.ctx
        if ctx is not None:
            ctx.close()
        if outcome is None:
            self._recorder.close(attempt.lease)
            self._fenced(attempt)
        else:
            if ctx is not None:
                ctx.say_last(*closing_events(attempt.task, ctx, outcome))
            self._unrecorded.add(attempt.task.id)
            self._record(attempt, outcome)
        self._on_slot_free()

    def _record(self, attempt: _Attempt, outcome: Outcome) -> None:
        def recorded(result: Fate | Unstorable) -> None:
            if isinstance(result, Unstorable):
                self._record(attempt, Failed(message=str(result), code=result.code, retryable=False))
            else:
                self._recorded(attempt, outcome, result)

        self._recorder.end(attempt.lease, outcome, recorded)

    def _recorded(self, attempt: _Attempt, outcome: Outcome, fate: Fate) -> None:
        self._unrecorded.discard(attempt.task.id)
        if self._settling and (settled := self._settling.pop(attempt.task.id, None)):
            settled.set()
        if attempt.task.is_limited:
            self._on_room()
        if fate is Fate.LOST:
            self._fenced(attempt)
            return
        ran_s = time.monotonic() - attempt.started
        self._metrics.ended(attempt.task.kind, outcome, ran_s=ran_s)
        self._log.ended(attempt.task, outcome, ran_s=ran_s)

    def _fenced(self, attempt: _Attempt) -> None:
        self._metrics.fenced(attempt.task.kind)
        logger.warning("outcome.fenced", task_id=str(attempt.task.id), attempt=attempt.task.attempt)
