"""Write what tasks say and how they end: many at once, in order, fenced, and kept while the database is away.

Writes gather while the one before is under way and then commit together, so that a busy worker pays one commit for
many tasks and an idle one waits for nobody. Streamed text and progress wait up to 50 ms for company; see
`agent_worker.worker.streams` for what of the text is written when.

When the database is away the same batch is sent until it is written; events are numbered and outcomes are
recognised, so sending twice writes once. What gathers meanwhile is bounded: `room()` holds tasks back.

A value that PostgreSQL refuses harms only its own task: the batch is split, the rest is written, and whoever waits
for the culprit gets `Unstorable`.
"""

from __future__ import annotations

import asyncio
import enum
import math
import random
import time
from collections.abc import Callable, Collection
from typing import TypeAlias

import structlog

from agent_worker.db.queue import Batch, Final, Queue, Spawned
from agent_worker.domain.backoff import Backoff
from agent_worker.domain.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    LeaseLost,
    SchemaOutOfDate,
    Unstorable,
    ValueRefused,
)
from agent_worker.domain.events import Event, with_step
from agent_worker.domain.json import JsonObject, dump_json
from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry
from agent_worker.domain.replay import Checkpoint
from agent_worker.domain.task import Lease, TaskStatus
from agent_worker.worker.loop import Loop
from agent_worker.worker.streams import SOFT_DELAY_S, Stream

logger = structlog.get_logger(__name__)

MAX_BUFFERED_EVENTS = 10_000
"""Events held while the database is away or slow; then tasks that speak have to wait."""

_BACKOFF = Backoff(base_s=0.1, max_s=2.0)
"""A deadlock passes at once, an outage does not: short first."""

_REFUSALS = (ValueRefused, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What comes of a value that cannot be written: PostgreSQL says so, or it has no form to be sent in."""


class Fate(enum.Enum):
    """What became of a write."""

    WRITTEN = "written"
    LOST = "lost"
    """The task had moved on, or the worker stopped before the database answered."""


Done: TypeAlias = "Callable[[Fate | Unstorable], None]"


class Recorder(Loop[int]):
    """The worker's one writer; a round writes one batch.

    Args:
        queue: Where tasks live.
        stream: Makes the stream of an attempt, of the number of its task's last event so far.
        on_lost: Called with each lease that turned out to be lost, so that its attempt can be stopped.
        on_delayed: Called when tasks were put back for later.
    """

    def __init__(
        self,
        queue: Queue,
        *,
        stream: Callable[[int], Stream],
        on_lost: Callable[[Lease], None],
        on_delayed: Callable[[], None],
    ) -> None:
        super().__init__(interval_s=0.0)
        self._queue = queue
        self._stream = stream
        self._on_lost = on_lost
        self._on_delayed = on_delayed
        self._streams: dict[Lease, Stream] = {}
        self._spoken: set[Lease] = set()
        self._batch = Batch()
        self._waiters: list[tuple[Lease, Done]] = []
        self._settling: set[Lease] = set()
        self._urgent = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._buffered = 0
        self._soft_timer: asyncio.TimerHandle | None = None
        self._is_flushing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def run_once(self) -> int:
        """Wait until something is due, and write it; returns how many tasks ended."""
        await self._urgent.wait()
        self._urgent.clear()
        batch, waiters = self._take()
        if batch.is_empty:
            return 0
        self._idle.clear()
        try:
            await self._deliver(batch, waiters)
        finally:
            self._idle.set()
        return len(batch.finals)

    async def flush(self, timeout_s: float) -> bool:
        """Write what is left; false when that takes longer than `timeout_s` seconds."""
        self._is_flushing = True
        try:
            async with asyncio.timeout(timeout_s):
                while self._has_work():
                    self._urgent.set()
                    await self.round_done.wait(timeout_s)
        except TimeoutError:
            logger.warning("recorder.gave_up", leases=len(self._batch.leases()), after_s=timeout_s)
            return False
        finally:
            self._is_flushing = False
        return True

    async def stop(self) -> None:
        """End; whoever waits for a write is told that it did not happen."""
        await super().stop()
        waiters, self._waiters = self._waiters, []
        for _, done in waiters:
            done(Fate.LOST)

    def _has_work(self) -> bool:
        return bool(self._spoken or self._waiters or not self._batch.is_empty or not self._idle.is_set())

    # What a running attempt says.

    def open(self, lease: Lease, last_seq: int) -> None:
        """Begin the stream of an attempt whose task's last event so far is `last_seq`; before it says the first thing."""
        self._streams[lease] = self._stream(last_seq)

    async def settle(self, lease: Lease) -> None:
        """Drop what an earlier attempt left under the same lease, and wait until what is under way has been written or not.

        A claim that was lost with a crash of the server and that this worker made anew has the lease of the first one.
        """
        self._drop({lease})
        if not self._idle.is_set():
            self._settling.add(lease)
            await self._idle.wait()
            self._settling.discard(lease)

    def close(self, lease: Lease) -> None:
        """Forget an attempt's stream; what it said and is not yet written is dropped."""
        self._streams.pop(lease, None)
        self._spoken.discard(lease)

    def emit(self, lease: Lease, event: Event, step: str | None = None) -> None:
        """Add an event to the stream."""
        self._note(lease, self._streams[lease].emit(with_step(event, step)))

    def emit_text(self, lease: Lease, text_id: str, delta: str, step: str | None = None) -> None:
        """Add text to the stream; neighbouring pieces become one event."""
        self._note(lease, self._streams[lease].emit_text(text_id, delta, step))

    def progress(self, lease: Lease, value: JsonObject) -> None:
        """Show the newest progress."""
        self._batch.progress[lease] = value
        self._soon(SOFT_DELAY_S)

    async def room(self) -> None:
        """Wait while too much is unwritten."""
        await self._has_room.wait()

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Store a checkpoint together with what was said before it.

        Raises:
            LeaseLost: The task has moved on.
            Unstorable: PostgreSQL refuses the value.
        """
        self._batch.checkpoints.append((lease, checkpoint))
        await self._committed(lease)

    async def spawn(self, child: Spawned) -> None:
        """Insert a child.

        Raises:
            LeaseLost: The task has moved on.
            Unstorable: PostgreSQL refuses the payload.
        """
        self._batch.children.append(child)
        await self._committed(child.lease)

    # How attempts end.

    def end(self, lease: Lease, outcome: Outcome, done: Done) -> None:
        """Write how an attempt ended, after everything it said, and forget its stream.

        Args:
            lease: Whose attempt.
            outcome: How it ended.
            done: Called once with what became of it, or with the reason why PostgreSQL refuses it.
        """
        match outcome:
            case Completed(response):
                self._batch.finals.append(Final(lease, TaskStatus.COMPLETED, response))
            case Failed(message, code, retryable):
                failure = dump_json({"error": message, "code": code, "retryable": retryable})
                self._batch.finals.append(Final(lease, TaskStatus.FAILED, failure))
            case Cancel(message):
                failure = dump_json({"error": message, "code": "cancelled", "retryable": False})
                self._batch.finals.append(Final(lease, TaskStatus.CANCELLED, failure))
            case Retry(delay_s=delay_s):
                self._batch.retries.append((lease, delay_s))
            case Park(question):
                self._batch.parks.append((lease, question))
            case Release(delay_s=delay_s):
                self._batch.releases.append((lease, delay_s))
        if (stream := self._streams.pop(lease, None)) is not None:
            self._spoken.discard(lease)
            said, _ = stream.take(lease, by=math.inf)
            self._batch.events += said
        self._waiters.append((lease, done))
        self._urgent.set()

    async def _committed(self, lease: Lease) -> None:
        waiter: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()

        def done(result: Fate | Unstorable) -> None:
            if waiter.done():
                return
            if isinstance(result, Unstorable):
                waiter.set_exception(result)
            else:
                waiter.set_result(result)

        self._waiters.append((lease, done))
        self._urgent.set()
        if await waiter is Fate.LOST:
            raise LeaseLost("the task has moved on; nothing was written")

    def _note(self, lease: Lease, delay_s: float) -> None:
        self._spoken.add(lease)
        self._buffered += 1
        if self._buffered >= MAX_BUFFERED_EVENTS:
            self._has_room.clear()
        self._soon(delay_s)

    def _soon(self, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        if self._soft_timer is not None:
            if self._soft_timer.when() <= loop.time() + delay_s:
                return
            self._soft_timer.cancel()
        self._soft_timer = loop.call_later(delay_s, self._urgent.set)

    def _take(self) -> tuple[Batch, list[tuple[Lease, Done]]]:
        if self._soft_timer is not None:
            self._soft_timer.cancel()
            self._soft_timer = None
        batch, self._batch = self._batch, Batch()
        waiters, self._waiters = self._waiters, []
        self._take_streams(batch)
        self._buffered = 0
        self._has_room.set()
        return batch, waiters

    def _take_streams(self, batch: Batch) -> None:
        now = time.monotonic()
        spoken, self._spoken = self._spoken, set()
        for lease in spoken:
            stream = self._streams[lease]
            said, deltas = stream.take(lease, by=math.inf if self._is_flushing else now)
            batch.events += said
            batch.deltas += deltas
            if stream.due is not None:
                self._spoken.add(lease)
                self._soon(max(stream.due - now, 0.0))

    async def _deliver(self, batch: Batch, waiters: list[tuple[Lease, Done]]) -> None:
        try:
            lost, refused = await self._write(batch)
        except BaseException:  # stopped, or a bug that the loop will log: nobody may wait for ever
            for _, done in waiters:
                done(Fate.LOST)
            raise
        if any(delay_s > 0 for _, delay_s in (*batch.retries, *batch.releases)):
            self._on_delayed()
        if not lost and not refused:
            for _, done in waiters:
                done(Fate.WRITTEN)
            return
        # What has gathered meanwhile is lost as well: were the task claimed anew under the same lease, it would be written,
        # and what it follows upon would be missing.
        self._drop(lost)
        for lease, done in waiters:
            done(refused.get(lease, Fate.LOST if lease in lost else Fate.WRITTEN))
        for lease in lost - self._settling:
            self._on_lost(lease)

    def _drop(self, leases: Collection[Lease]) -> None:
        """Take these leases out of what is to be written, and say so."""
        self._batch = self._batch.without(leases)
        dropped = [done for lease, done in self._waiters if lease in leases]
        self._waiters = [waiter for waiter in self._waiters if waiter[0] not in leases]
        for done in dropped:
            done(Fate.LOST)

    async def _write(self, batch: Batch) -> tuple[set[Lease], dict[Lease, Unstorable]]:
        try:
            return await self._write_until_done(batch), {}
        except _REFUSALS as exc:
            leases = batch.leases()
            if len(leases) == 1:
                # Not the message: PostgreSQL's may quote the value.
                code = exc.sqlstate if isinstance(exc, ValueRefused) else type(exc).__name__
                logger.warning("recorder.refused", task_id=str(next(iter(leases)).task_id), error=code)
                return set(), dict.fromkeys(leases, Unstorable(str(exc)))
        lost: set[Lease] = set()
        refused: dict[Lease, Unstorable] = {}
        for lease in leases:
            part_lost, part_refused = await self._write(batch.only(lease))
            lost |= part_lost
            refused |= part_refused
        return lost, refused

    async def _write_until_done(self, batch: Batch) -> set[Lease]:
        failures = 0
        while True:
            try:
                lost = await self._queue.write(batch)
            except (DatabaseUnavailable, SchemaOutOfDate, ConfigurationError) as exc:
                failures += 1
                if failures == 1:
                    logger.warning("recorder.waiting", leases=len(batch.leases()), error=str(exc))
                await asyncio.sleep(_BACKOFF.delay_s(failures, roll=random.random()))  # noqa: S311 - jitter
            else:
                if failures:
                    logger.info("recorder.recovered", leases=len(batch.leases()), failures=failures)
                return lost
