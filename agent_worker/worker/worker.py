"""One worker: owns the parts of the engine, and starts, drains and stops them in the right order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from agent_worker.db.definitions import Definitions
from agent_worker.db.firing import Firing
from agent_worker.db.fleet import Fleet, WorkerIdentity
from agent_worker.db.link import Link
from agent_worker.db.listen import Listener
from agent_worker.db.queue import Queue
from agent_worker.domain.backoff import Backoff
from agent_worker.domain.chat import ChatModel
from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.domain.images import ImageMaker
from agent_worker.domain.processor import Processor
from agent_worker.domain.task import Lease
from agent_worker.telemetry import Metrics
from agent_worker.worker.canceller import Canceller
from agent_worker.worker.claimer import Claimer
from agent_worker.worker.cron import Cron
from agent_worker.worker.executor import Executor
from agent_worker.worker.heartbeat import Heartbeat
from agent_worker.worker.lifesign import LifeSign
from agent_worker.worker.loop import Loop
from agent_worker.worker.polling import Polling
from agent_worker.worker.pool.pool import ProcessPool
from agent_worker.worker.recorder import Recorder
from agent_worker.worker.streams import STREAMS, StreamMode
from agent_worker.worker.upkeep import Housekeeper, Pruner, Rescuer, Scheduler
from agent_worker.worker.watch import Lookout, Watch
from agent_worker.worker.watchdog import Watchdog

logger = structlog.get_logger(__name__)

MAX_UNRECORDED = 20_000
"""Outcomes held while the database is slow; then no more tasks are claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """How a worker behaves; times in seconds. The settings of the same names explain each."""

    concurrency: int = 100
    poll_interval_s: float = 2.0
    heartbeat_s: float = 10.0
    lease_s: float = 30.0
    rescue_interval_s: float = 10.0
    schedule_interval_s: float = 30.0
    housekeeping_interval_s: float = 30.0
    prune_interval_s: float = 60.0
    retention_s: float = 30 * 86_400.0
    unknown_kind_grace_s: float = 60.0
    shutdown_grace_s: float = 30.0
    cancel_grace_s: float = 5.0
    backoff: Backoff = field(default_factory=Backoff)
    stream: StreamMode = "changes"


class Worker:
    """Claims and runs tasks until it is stopped.

    Args:
        link: The way to an open database; the caller closes it.
        identity: Who this worker is.
        processors: By kind; only these kinds are claimed.
        processes: Run those that ask for a process; of these kinds only as many tasks are claimed as it has processes.
        models: Finds a chat model by id.
        images: Makes pictures; None where no provider of them is set up.
        metrics: Where everything is counted.
        options: How it behaves.
    """

    def __init__(
        self,
        link: Link,
        *,
        identity: WorkerIdentity,
        processors: Mapping[str, Processor],
        processes: ProcessPool,
        models: Callable[[str | None], ChatModel],
        images: ImageMaker | None = None,
        metrics: Metrics,
        options: WorkerOptions,
    ) -> None:
        self._link = link
        self.identity = identity
        self._options = options
        self._metrics = metrics
        self._fleet = Fleet(link.transport)
        self._processes = processes
        self._processors = tuple(processors.values())
        self._state = "starting"
        self._is_registered = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._chores: set[asyncio.Task[None]] = set()
        queue = Queue(link.transport, identity.id)
        self.drain_asked = asyncio.Event()
        """Set when somebody asked this worker to leave; whoever runs it then calls `drain`."""
        self.recorder = Recorder(
            queue, stream=STREAMS[options.stream], on_lost=self._lose, on_delayed=self._delayed
        )
        self.executor = Executor(
            queue,
            self.recorder,
            processors=processors,
            processes=processes,
            models=models,
            images=images,
            definitions=functools.partial(Definitions, link.transport),
            metrics=metrics,
            backoff=options.backoff,
            cancel_grace_s=options.cancel_grace_s,
            on_slot_free=self._slot_freed,
            on_room=self._room_made,
        )
        self.listener = link.ears(on_notify=self._hear, on_up=self._look)
        turn = asyncio.Lock()
        light = [kind for kind in identity.kinds if kind not in processes.kinds]
        self.claimer = self._make_claimer(queue, turn, light, options.concurrency, self._free_slots)
        self.heavy_claimer = self._make_claimer(
            queue, turn, sorted(processes.kinds), processes.size, self._free_processes
        )
        by_kinds = ((self.claimer, light), (self.heavy_claimer, processes.kinds))
        self._claimers = [claimer for claimer, kinds in by_kinds if kinds]
        self.canceller = Canceller(
            queue,
            running=lambda: self.executor.running,
            cancel=self.executor.cancel,
            interval_s=options.poll_interval_s,
        )
        self.watchdog = Watchdog(self.executor)
        self.rescuer = Rescuer(
            self._fleet,
            metrics,
            interval_s=options.rescue_interval_s,
            heartbeat_s=options.heartbeat_s,
            lease_s=options.lease_s,
            steady_s=lambda: self.heartbeat.steady_s,
        )
        self.scheduler = Scheduler(
            self._fleet,
            interval_s=options.schedule_interval_s,
            is_told=lambda: self.listener.connected,
        )
        self.cron = Cron(Firing(link.transport))
        self.housekeeper = Housekeeper(
            self._fleet,
            interval_s=options.housekeeping_interval_s,
            kinds=identity.kinds,
            unknown_kind_grace_s=options.unknown_kind_grace_s,
        )
        self.heartbeat = Heartbeat(
            link.pulse(identity.id),
            interval_s=options.heartbeat_s,
            in_flight=lambda: self.executor.in_flight,
            on_cancel=lambda ids: self._in_loop(lambda: self.executor.cancel(ids)),
            on_unknown=lambda: self._in_loop(self._register_again),
            on_drain=lambda: self._in_loop(self._ask_to_drain),
        )
        self._loops: tuple[Loop[object], ...] = (
            self.watchdog,  # type: ignore[assignment]  # a Loop of any result
            self.canceller,
            self.rescuer,
            self.scheduler,
            self.cron,
            self.housekeeper,
            Pruner(self._fleet, interval_s=options.prune_interval_s, retention_s=options.retention_s),
            LifeSign(identity.name, in_flight=lambda: self.executor.in_flight),
        )
        self._show_gauges(metrics)

    def _make_claimer(
        self,
        queue: Queue,
        turn: asyncio.Lock,
        kinds: Sequence[str],
        slots: int,
        free_slots: Callable[[], int],
    ) -> Claimer:
        return Claimer(
            queue,
            self._lookout(kinds),
            kinds=kinds,
            slots=slots,
            free_slots=free_slots,
            dispatch=self.executor.start,
            is_known=self.executor.knows,
            turn=turn,
            interval_s=self._options.poll_interval_s,
        )

    def _lookout(self, kinds: Sequence[str]) -> Lookout:
        """Keep watch where a session of ours can hold the locks for it, and look by ourselves where none can."""
        interval_s = self._options.poll_interval_s
        if isinstance(self.listener, Listener):
            return Watch(self.listener, kinds, worker_id=self.identity.id, interval_s=interval_s)
        return Polling(self.listener, kinds, interval_s=interval_s)

    def _show_gauges(self, metrics: Metrics) -> None:
        link = self._link
        slots = float(self._options.concurrency)
        metrics.observe("in_flight", "Attempts that hold a slot.", lambda: float(self.executor.in_flight))
        metrics.observe("unrecorded", "Outcomes not yet written.", lambda: float(self.executor.unrecorded))
        metrics.observe("slots", "Most attempts at once.", lambda: slots)
        metrics.observe("processes_busy", "Attempts in processes.", lambda: float(self._processes.busy))
        metrics.observe("processes_limit", "Most of them at once.", lambda: float(self._processes.size))
        metrics.observe("pool_in_use", "Pooled connections handed out.", lambda: float(link.in_use))
        metrics.observe(
            "oldest_pending_seconds",
            "For how long the longest waiting task of this worker's kinds has been due.",
            lambda: self.housekeeper.oldest_pending_s,
        )
        metrics.observe(
            "heartbeat_age_seconds",
            "Time since the last heartbeat that arrived.",
            lambda: self.heartbeat.age_s,
        )

    def why_not_ready(self) -> str | None:
        """Say why this worker takes no tasks at the moment, or None when it does."""
        if self._state != "running":
            return self._state
        if not self._is_registered:
            return "another worker has taken this worker's name"
        if self.heartbeat.age_s > self._options.lease_s:
            return f"no heartbeat has reached the database for {self.heartbeat.age_s:.0f} s"
        return None

    async def start(self) -> None:
        """Enter the fleet and begin to claim.

        Raises:
            ConfigurationError: A living worker has this name, or the database cannot broadcast and should.
            DatabaseUnavailable: The database cannot be reached.
        """
        self._loop = asyncio.get_running_loop()
        if self._options.stream == "broadcast" and not await self._fleet.can_broadcast():
            raise ConfigurationError(
                f"AGENT_WORKER_STREAM is broadcast, and {self._link.transport.target} has no realtime.send that this role "
                "may call · set it to changes, or run: agent-worker migrate, as a superuser"
            )
        await self._fleet.register(self.identity)
        self._is_registered = True
        self.heartbeat.start()
        await self.recorder.start()
        await self.listener.start()
        for loop in self._loops:
            await loop.start()
        for claimer in self._claimers:
            await claimer.start()
        self._state = "running"
        logger.info(
            "worker.started",
            name=self.identity.name,
            watching="agent_task_requests",
            kinds=list(self.identity.kinds),
            slots=self._options.concurrency,
            database=self._link.transport.target,
        )

    async def drain(self, *, stop_now: asyncio.Event | None = None) -> None:
        """Claim no more, finish what runs within the grace period, give back the rest, and leave.

        Nothing in here waits for the database longer than a few seconds, so a dead connection cannot hang it.

        Args:
            stop_now: Set to skip the rest of the grace period.
        """
        if self._state in {"starting", "stopped"}:
            return
        self._state = "draining"
        logger.info("worker.draining", name=self.identity.name, in_flight=self.executor.in_flight)
        for claimer in self._claimers:
            await claimer.stop()
        await self._briefly(self._fleet.sign_off(self.identity.id, "draining"))
        await self._finish_running(stop_now)
        await self._processes.close()
        await self._close_processors(2.0 if stop_now and stop_now.is_set() else 15.0)
        for loop in self._loops:
            await loop.stop()
        await self.recorder.flush(timeout_s=3.0)
        await self.recorder.stop()
        await self.listener.stop()
        await self._briefly(self._fleet.sign_off(self.identity.id, "stopped"))
        self.heartbeat.stop()
        self._state = "stopped"
        logger.info("worker.stopped", name=self.identity.name)

    async def _finish_running(self, stop_now: asyncio.Event | None) -> None:
        drained = asyncio.ensure_future(self.executor.drain(self._options.shutdown_grace_s))
        stopped = asyncio.ensure_future((stop_now or asyncio.Event()).wait())
        await asyncio.wait({drained, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not (drained.done() and drained.result()):
            drained.cancel()
            logger.info("worker.releasing", name=self.identity.name, in_flight=self.executor.in_flight)
            self.executor.release_all()
            await self.executor.drain(timeout_s=1.0 if stop_now and stop_now.is_set() else 8.0)

    async def _close_processors(self, timeout_s: float) -> None:
        """Call those that have something to close; what they raise stops nobody."""
        closes = {each.kind: getattr(each, "close", None) for each in self._processors}  # an optional method
        tasks = {kind: asyncio.ensure_future(close()) for kind, close in closes.items() if close is not None}
        if not tasks:
            return
        await asyncio.wait(tasks.values(), timeout=timeout_s)
        for kind, task in tasks.items():
            if not task.done():
                task.cancel()
                logger.warning("processor.not_closed", kind=kind, reason="timeout")
            elif (error := task.exception()) is not None:
                logger.warning("processor.not_closed", kind=kind, reason=type(error).__name__, exc_info=error)

    @staticmethod
    async def _briefly(call: Awaitable[None]) -> None:
        """Tell the database if it listens; leaving does not depend on it."""
        with contextlib.suppress(DatabaseUnavailable, TimeoutError):
            async with asyncio.timeout(2.0):
                await call

    def _hear(self, _channel: str, payload: str) -> None:
        verb, _, argument = payload.partition(" ")
        match verb:
            case "task" | "look" | "watch":
                for claimer in self._claimers:
                    _hint(claimer, verb, argument)
            case "cancel":
                with contextlib.suppress(ValueError):  # anybody may NOTIFY; what is no id is no request
                    self.executor.cancel([UUID(argument)])
            case "drain":
                if argument == str(self.identity.id):
                    self._ask_to_drain()
            case "schedule":
                self.scheduler.wake()
                self.cron.wake()

    def _ask_to_drain(self) -> None:
        if not self.drain_asked.is_set():
            logger.info("worker.drain_asked", name=self.identity.name)
            self.drain_asked.set()

    def _look(self) -> None:
        for claimer in self._claimers:
            claimer.look()
        self.canceller.wake()
        self.scheduler.wake()
        self.cron.wake()

    def _in_loop(self, call: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _free_slots(self) -> int:
        # Who cannot say that it lives would soon lose what it claims, and each such claim costs the task an attempt.
        if not self._is_registered or self.heartbeat.age_s > self._options.lease_s * 2 / 3:
            return 0
        if self.executor.unrecorded > MAX_UNRECORDED:
            return 0
        return self._options.concurrency - self.executor.in_flight

    def _free_processes(self) -> int:
        # Not more than can run: the rest waits in the queue, where a worker with a free process finds it.
        return min(self._free_slots(), self._processes.size - self.executor.heavy_in_flight)

    # The parts know each other through these four, for each is made before the one it calls.

    def _lose(self, lease: Lease) -> None:
        self.executor.lose(lease)

    def _delayed(self) -> None:
        if not self.listener.connected:  # else the database says so, to everybody
            self.scheduler.wake()

    def _slot_freed(self) -> None:
        for claimer in self._claimers:
            claimer.slot_freed()

    def _room_made(self) -> None:
        for claimer in self._claimers:
            claimer.room_made()

    def _register_again(self) -> None:
        chore = asyncio.ensure_future(self._return_to_fleet())
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _return_to_fleet(self) -> None:
        logger.warning("worker.forgotten", name=self.identity.name)
        self._is_registered = False
        try:
            await self._fleet.register(self.identity)
            self._is_registered = True
        except (DatabaseUnavailable, ConfigurationError) as exc:
            logger.warning("worker.not_registered", name=self.identity.name, error=str(exc))


def _hint(claimer: Claimer, verb: str, argument: str) -> None:
    match verb:
        case "task":
            claimer.hear_task(argument)
        case "watch":
            claimer.hear_offer(argument)
        case _:
            claimer.wake()
