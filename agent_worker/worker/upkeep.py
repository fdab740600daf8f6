"""What any worker does for the whole fleet. Every round is one short SQL call, safe on all workers at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from agent_worker.db.fleet import Fleet, RescueResult, StageResult
from agent_worker.domain.errors import ConfigurationError
from agent_worker.telemetry import Metrics
from agent_worker.worker.loop import Loop

logger = structlog.get_logger(__name__)

SHORTEST_WAIT_S = 0.05
"""Least time between two looks for the same end of a lease."""

UNTOLD_S = 5.0
"""Seconds between looks for what is due, without notifications."""

BATCH = 500
"""Most rows per round; a full round repeats at once."""


class Rescuer(Loop[RescueResult]):
    """Return tasks of dead workers to `pending`, or fail them when no attempt is left.

    A worker is dead when its last heartbeat is older than its lease by the database's clock; no worker's own clock is
    ever compared.

    Args:
        fleet: Where workers and their tasks live.
        metrics: Where rescues are counted.
        interval_s: Longest time between rounds; a worker with a shorter lease may have come meanwhile.
        heartbeat_s: Seconds between this worker's heartbeats.
        lease_s: Seconds without a heartbeat after which this worker counts as dead.
        steady_s: For how many seconds this worker's own heartbeats have arrived. After an outage longer than the
            lease everybody looks dead, so nobody rescues before all had the time to beat again.

    Raises:
        ConfigurationError: `lease_s` is shorter than three heartbeats, so one lost heartbeat could cost the lease.
    """

    def __init__(
        self,
        fleet: Fleet,
        metrics: Metrics,
        *,
        interval_s: float,
        heartbeat_s: float,
        lease_s: float,
        steady_s: Callable[[], float],
    ) -> None:
        if lease_s < 3 * heartbeat_s:
            raise ConfigurationError(
                f"AGENT_WORKER_LEASE_S ({lease_s:g}) is shorter than three heartbeats of {heartbeat_s:g} s · "
                "one lost heartbeat could cost a living worker its tasks · "
                f"set it to at least {3 * heartbeat_s:g}, or shorten AGENT_WORKER_HEARTBEAT_S"
            )
        super().__init__(interval_s=interval_s)
        self._fleet = fleet
        self._metrics = metrics
        self._steady_s = steady_s
        self._quiet_s = heartbeat_s / 2

    async def run_once(self) -> RescueResult:
        """Take back what dead workers held."""
        if self._steady_s() < self._quiet_s:
            return RescueResult(0, 0, 0, next_expiry_s=self._quiet_s)
        result = await self._fleet.rescue(limit=BATCH)
        if result.total:
            logger.warning(
                "tasks.rescued", retried=result.retried, failed=result.failed, cancelled=result.cancelled
            )
            self._metrics.rescued(retried=result.retried, failed=result.failed, cancelled=result.cancelled)
        return result

    def delay_after(self, result: RescueResult) -> float:
        """Look again when the next lease ends, at most after the interval; repeat a full round at once."""
        if result.total >= BATCH:
            return 0.0
        if result.next_expiry_s is None:
            return self.interval_s
        return min(max(result.next_expiry_s, SHORTEST_WAIT_S), self.interval_s)


class Scheduler(Loop[StageResult]):
    """Move tasks into their lanes when their `run_at` has come; sleeps until the next one is due.

    Args:
        fleet: Where tasks live.
        interval_s: Longest sleep of a worker that is told when somebody schedules a task.
        is_told: Whether it is, at the moment; else it looks every `UNTOLD_S` seconds.
    """

    def __init__(self, fleet: Fleet, *, interval_s: float, is_told: Callable[[], bool]) -> None:
        super().__init__(interval_s=interval_s)
        self._fleet = fleet
        self._is_told = is_told

    async def run_once(self) -> StageResult:
        """Stage what is due."""
        return await self._fleet.stage(limit=BATCH)

    def delay_after(self, result: StageResult) -> float:
        """Sleep until the next task is due, at most the interval."""
        if result.staged >= BATCH:
            return 0.0
        longest_s = self.interval_s if self._is_told() else min(UNTOLD_S, self.interval_s)
        return longest_s if result.next_due_s is None else min(max(result.next_due_s, 0.01), longest_s)


class Housekeeper(Loop[int]):
    """Close questions whose time is up, fail tasks of kinds that nobody has ever offered, and measure the queue's lag.

    Args:
        fleet: Where they live.
        interval_s: Seconds between rounds.
        kinds: Kinds whose lag is measured.
        unknown_kind_grace_s: Age at which a task of an unknown kind fails, so that a new worker may come up first.
    """

    def __init__(
        self, fleet: Fleet, *, interval_s: float, kinds: Sequence[str], unknown_kind_grace_s: float
    ) -> None:
        super().__init__(interval_s=interval_s)
        self._fleet = fleet
        self._kinds = kinds
        self._unknown_kind_grace_s = unknown_kind_grace_s
        self.oldest_pending_s = 0.0
        """For how long the longest waiting task was due, at the last look."""

    async def run_once(self) -> int:
        """Do all three; returns how many rows changed."""
        self.oldest_pending_s = await self._fleet.oldest_pending_s(self._kinds)
        expired = await self._fleet.expire_questions(limit=BATCH)
        unknown = await self._fleet.fail_unknown_kinds(grace_s=self._unknown_kind_grace_s, limit=BATCH)
        if unknown:
            logger.warning(
                "tasks.unknown_kind", failed=len(unknown), kinds=sorted({kind for _, kind in unknown})
            )
        return expired + len(unknown)


class Pruner(Loop[int]):
    """Delete tasks that ended longer ago than the retention, in small batches.

    Args:
        fleet: Where tasks live.
        interval_s: Seconds between rounds.
        retention_s: Age at which a finished task goes, in seconds since its end.
    """

    def __init__(self, fleet: Fleet, *, interval_s: float, retention_s: float) -> None:
        super().__init__(interval_s=interval_s)
        self._fleet = fleet
        self._retention_s = retention_s

    async def run_once(self) -> int:
        """Delete one batch; returns its size."""
        pruned = await self._fleet.prune(retention_s=self._retention_s, limit=BATCH)
        if pruned:
            logger.info("tasks.pruned", tasks=pruned)
        return pruned

    def delay_after(self, result: int) -> float:
        """Repeat a full batch soon, leaving room for other work."""
        return 0.2 if result >= BATCH else self.interval_s
