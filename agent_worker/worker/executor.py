"""Run attempts: one asyncio task each, from the claim to the recorded outcome.

Whatever a processor does ends as one `Outcome` in one `match`. An attempt is stopped for four reasons: somebody
cancelled the task, its time is up, the worker shuts down, or the lease is lost; a processor that ignores its
cancellation is left behind after a grace period, and nothing it does afterwards counts.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from agent_worker.db.queue import Final, Queue
from agent_worker.domain import events as ev
from agent_worker.domain.backoff import Backoff, after_failure
from agent_worker.domain.chat import ChatModel
from agent_worker.domain.errors import (
    Cancelled,
    DatabaseUnavailable,
    LeaseLost,
    ProcessorError,
    UnknownProcessor,
)
from agent_worker.domain.json import JsonObject, JsonValue, dump_json
from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry
from agent_worker.domain.processor import DEFAULT_TIMEOUT_S, Processor
from agent_worker.domain.replay import Checkpoint, Parked
from agent_worker.domain.task import Lease, Resume, Task, TaskStatus
from agent_worker.telemetry import Metrics, TaskLog
from agent_worker.worker.context import LiveContext
from agent_worker.worker.recorder import Recorder, Unstorable
from agent_worker.worker.threads import run_in_thread

logger = structlog.get_logger(__name__)

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""Largest response payload, the same as the limit of a request payload."""


class StopReason(enum.Enum):
    """Why a running attempt is stopped from outside."""

    CANCEL = "cancel"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"


@dataclass(slots=True, eq=False)
class _Attempt:
    """A claimed task on its way through this worker."""

    task: Task
    lease: Lease
    runner: asyncio.Task[None] | None = None
    body: asyncio.Task[JsonObject] | None = None
    stop_reason: StopReason | None = None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    is_late: bool = False
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)


class Executor:
    """Runs claimed tasks side by side.

    Args:
        queue: Where tasks live; for what a task remembers.
        recorder: Where outcomes go.
        processors: By kind.
        models: Finds a chat model by id.
        metrics: Where outcomes are counted.
        backoff: Delay between attempts.
        cancel_grace_s: How long a cancelled processor may take to clean up before it is left behind.
        on_slot_free: Called whenever an attempt has ended.
    """

    def __init__(
        self,
        queue: Queue,
        recorder: Recorder,
        *,
        processors: Mapping[str, Processor],
        models: Callable[[str | None], ChatModel],
        metrics: Metrics,
        backoff: Backoff,
        cancel_grace_s: float,
        on_slot_free: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._recorder = recorder
        self._processors = processors
        self._models = models
        self._metrics = metrics
        self._backoff = backoff
        self._cancel_grace_s = cancel_grace_s
        self._on_slot_free = on_slot_free
        self._attempts: dict[UUID, _Attempt] = {}
        self._log = TaskLog()

    @property
    def in_flight(self) -> int:
        """Attempts that hold a slot."""
        return len(self._attempts)

    def start(self, task: Task) -> None:
        """Begin an attempt; returns at once."""
        attempt = _Attempt(task, Lease(task.id, task.attempt, self._queue.worker_id))
        previous = self._attempts.get(task.id)
        if previous is not None:  # what it does no longer counts, or is just being written
            self._stop(previous, StopReason.LEASE_LOST)
        self._attempts[task.id] = attempt
        self._metrics.claimed(task.kind, waited_s=task.waited_s)
        self._log.claimed(task)
        attempt.runner = asyncio.create_task(self._run(attempt, previous), name=f"attempt-{task.id}")

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

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing runs; false when something still does after `timeout_s` seconds."""
        runners = [attempt.runner for attempt in self._attempts.values() if attempt.runner is not None]
        if not runners:
            return True
        _, running = await asyncio.wait(runners, timeout=timeout_s)
        return not running

    def release_all(self) -> None:
        """Stop what runs and give it back without using up attempts."""
        for attempt in self._attempts.values():
            self._stop(attempt, StopReason.SHUTDOWN)

    def _stop(self, attempt: _Attempt, reason: StopReason) -> None:
        if attempt.stop_reason is None:
            attempt.stop_reason = reason
            attempt.stopped.set()

    async def _run(self, attempt: _Attempt, previous: _Attempt | None) -> None:
        if previous is not None:
            await previous.has_ended.wait()
        started = time.monotonic()
        try:
            outcome = await self._attempt(attempt)
        finally:
            attempt.has_ended.set()
            if self._attempts.get(attempt.task.id) is attempt:
                del self._attempts[attempt.task.id]
            self._on_slot_free()
        ran_s = time.monotonic() - started
        self._metrics.ended(attempt.task.kind, outcome, ran_s=ran_s)
        self._log.ended(attempt.task, outcome, ran_s=ran_s)

    async def _attempt(self, attempt: _Attempt) -> Outcome | None:
        """Run and record one attempt; None when the task had moved on."""
        task = attempt.task
        processor = self._processors.get(task.kind)
        limit_s = _limit_s(task, processor)
        deadline = time.monotonic() + limit_s
        try:
            known, last_seq = await self._history(task)
        except DatabaseUnavailable:
            return await self._record(attempt, None, Release())
        ctx = LiveContext(
            task,
            lease=attempt.lease,
            recorder=self._recorder,
            models=self._models,
            known=known,
            last_seq=last_seq,
            deadline=deadline,
        )
        try:
            outcome = await self._outcome(attempt, processor, ctx, limit_s)
            return await self._record(attempt, ctx, outcome)
        finally:
            ctx.close()
            self._recorder.close(attempt.lease)

    async def _history(self, task: Task) -> tuple[dict[str, Checkpoint], int]:
        if task.resume is Resume.FRESH:
            return {}, 0
        return await self._queue.load_checkpoints(task.id), await self._queue.last_event_seq(task.id)

    async def _outcome(
        self, attempt: _Attempt, processor: Processor | None, ctx: LiveContext, limit_s: float
    ) -> Outcome | None:
        task = attempt.task
        if processor is None:
            return self._failure(task, UnknownProcessor(task.kind, known=tuple(sorted(self._processors))))
        if attempt.stop_reason is None:
            attempt.body = asyncio.create_task(_call(processor, task, ctx), name=f"process-{task.id}")
            await self._wait_for(attempt, limit_s)
        return self._judge(attempt, limit_s)

    async def _wait_for(self, attempt: _Attempt, limit_s: float) -> None:
        """Wait until the processor ends, its time is up, or it was stopped and its grace period is over."""
        body = attempt.body
        assert body is not None  # noqa: S101 - for the type checker
        stopped = asyncio.ensure_future(attempt.stopped.wait())
        done, _ = await asyncio.wait({body, stopped}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        attempt.is_late = not done
        if not body.done():
            body.cancel()
            await asyncio.wait({body}, timeout=self._cancel_grace_s)
        if not body.done():
            logger.warning("task.left_behind", task_id=str(attempt.task.id), kind=attempt.task.kind)
            body.add_done_callback(_retrieve)

    def _judge(self, attempt: _Attempt, limit_s: float) -> Outcome | None:
        body = attempt.body
        if attempt.stop_reason is StopReason.LEASE_LOST:
            if body is not None and body.done():
                _retrieve(body)
            return None
        if body is None or not body.done() or body.cancelled():
            return self._judge_stopped(attempt, limit_s)
        error = body.exception()
        return (
            _completed(attempt.task, body.result())
            if error is None
            else self._judge_raised(attempt.task, error)
        )

    def _judge_stopped(self, attempt: _Attempt, limit_s: float) -> Outcome:
        match attempt.stop_reason:
            case StopReason.CANCEL:
                return Cancel("The task was cancelled before it finished.")
            case StopReason.SHUTDOWN:
                return Release()
            case _ if attempt.is_late:
                message = f"The attempt took longer than its limit of {limit_s:g} s."
                return self._failure(attempt.task, ProcessorError(message, code="timeout"))
            case _:
                message = "The processor cancelled itself."
                return self._failure(attempt.task, ProcessorError(message, code="internal_error"))

    def _judge_raised(self, task: Task, error: BaseException) -> Outcome | None:
        match error:
            case _Signal(signal=Parked(question=question)):
                return Park(question)
            case LeaseLost():
                return None
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

    def _failure(self, task: Task, error: ProcessorError) -> Retry | Failed:
        roll = random.random()  # noqa: S311 - jitter
        return after_failure(
            error, attempt=task.attempt, max_attempts=task.max_attempts, backoff=self._backoff, roll=roll
        )

    async def _record(
        self, attempt: _Attempt, ctx: LiveContext | None, outcome: Outcome | None
    ) -> Outcome | None:
        """Write an outcome and return it, or None when the task had moved on."""
        if outcome is None:
            return None
        try:
            if await self._write(attempt, ctx, outcome):
                return outcome
        except Unstorable as error:
            failed = Failed(message=str(error), code=error.code, retryable=False)
            if await self._write(attempt, None, failed):
                return failed
        self._metrics.fenced(attempt.task.kind)
        logger.warning("outcome.fenced", task_id=str(attempt.task.id), attempt=attempt.task.attempt)
        return None

    async def _write(self, attempt: _Attempt, ctx: LiveContext | None, outcome: Outcome) -> bool:
        task, lease, recorder = attempt.task, attempt.lease, self._recorder
        if ctx is not None:
            ctx.close()
            ctx.say_last(*_closing_events(task, ctx, outcome))
        match outcome:
            case Completed(response):
                return await recorder.finish(Final(lease, TaskStatus.COMPLETED, dump_json(response)))
            case Failed(message, code, retryable):
                return await recorder.finish(
                    Final(lease, TaskStatus.FAILED, _failure_json(message, code, retryable=retryable))
                )
            case Cancel(message):
                failure = _failure_json(message, "cancelled", retryable=False)
                return await recorder.finish(Final(lease, TaskStatus.CANCELLED, failure))
            case Retry(delay_s=delay_s):
                return await recorder.retry(lease, delay_s)
            case Park(question):
                return await recorder.park(lease, question)
            case Release():
                return await recorder.release(lease)


class _Signal(Exception):
    """A BaseException raised inside an asyncio task would end the event loop, so it travels wrapped."""

    def __init__(self, signal: Parked) -> None:
        super().__init__()
        self.signal = signal


async def _call(processor: Processor, task: Task, ctx: LiveContext) -> JsonObject:
    try:
        if inspect.iscoroutinefunction(processor.process):
            return await processor.process(task, ctx)
        return await run_in_thread(processor.process, task, ctx)  # type: ignore[arg-type]  # a blocking process
    except Parked as signal:
        raise _Signal(signal) from None


def _limit_s(task: Task, processor: Processor | None) -> float:
    if task.timeout_s is not None:
        return task.timeout_s
    return float(
        getattr(processor, "timeout_s", DEFAULT_TIMEOUT_S)
    )  # an optional attribute of the plug-in contract


def _completed(task: Task, response: JsonValue) -> Completed | Failed:
    """Check what a processor returned: a JSON object that the database can store."""
    if not isinstance(response, dict):
        message = f"The processor returned {type(response).__name__}; it must return a JSON object (a dict)."
        return Failed(message, code="invalid_response", retryable=False)
    try:
        size = len(dump_json(response))
    except (ValueError, TypeError, RecursionError) as exc:
        return Failed(
            f"The processor's response is not JSON: {exc}.", code="invalid_response", retryable=False
        )
    if size > MAX_RESPONSE_BYTES:
        message = (
            f"The response of the {task.kind} task takes {size:,} bytes; the limit is {MAX_RESPONSE_BYTES:,}."
        )
        return Failed(message, code="response_too_large", retryable=False)
    return Completed(response)


def _closing_events(task: Task, ctx: LiveContext, outcome: Outcome) -> list[ev.Event]:
    """Say how the attempt ended, to those who follow the stream."""
    match outcome:
        case Completed() if ctx.has_spoken and not ctx.has_finished_stream:
            return [ev.finish("stop", str(task.id))]
        case Failed(message, code, retryable):
            return [ev.error(code=code, message=message, retryable=retryable)]
        case Retry(message, code, delay_s):
            return [ev.attempt_failed(attempt=task.attempt, code=code, message=message, retry_in_s=delay_s)]
        case Cancel(message) if ctx.has_spoken:
            return [ev.error(code="cancelled", message=message, retryable=False)]
        case _:
            return []


def _failure_json(message: str, code: str, *, retryable: bool) -> str:
    return dump_json({"error": message, "code": code, "retryable": retryable})


def _retrieve(body: asyncio.Task[JsonObject]) -> None:
    """Look at a result that nobody wants, so that asyncio does not report it as forgotten."""
    if not body.cancelled():
        body.exception()
