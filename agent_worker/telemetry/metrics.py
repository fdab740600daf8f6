"""Metrics for Prometheus, counted where the same facts are logged."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry

_DURATION_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
_WAIT_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 5, 10, 60, 300, 3600)


class Metrics:
    """All metrics of one process, in a registry of their own.

    Label `kind` is the task's kind; kinds are few, for a worker runs only those it offers.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._claimed = self._counter("tasks_claimed", "Attempts started.")
        self._completed = self._counter("tasks_completed", "Tasks completed.")
        self._failed = self._counter("tasks_failed", "Tasks failed for good.", "code")
        self._retried = self._counter("tasks_retried", "Attempts failed and repeated.", "code")
        self._cancelled = self._counter("tasks_cancelled", "Tasks cancelled while they ran.")
        self._released = self._counter("tasks_released", "Tasks given back at shutdown.")
        self._parked = self._counter("tasks_parked", "Attempts ended to wait for an answer.")
        self._fenced = self._counter("tasks_fenced", "Outcomes dropped because the task had moved on.")
        self._rescued = Counter(
            "agent_worker_tasks_rescued",
            "Tasks taken back from dead workers.",
            ["outcome"],
            registry=self.registry,
        )
        self._duration = Histogram(
            "agent_worker_task_duration_seconds",
            "Time from claim to recorded outcome of one attempt.",
            ["kind"],
            buckets=_DURATION_BUCKETS_S,
            registry=self.registry,
        )
        self._wait = Histogram(
            "agent_worker_task_queue_wait_seconds",
            "Time from becoming due to being claimed.",
            ["kind"],
            buckets=_WAIT_BUCKETS_S,
            registry=self.registry,
        )
        self._oldest = Gauge(
            "agent_worker_oldest_pending_seconds",
            "Age of the oldest due task that nobody has claimed.",
            registry=self.registry,
        )
        self._database_up = Gauge(
            "agent_worker_database_up", "1 while heartbeats reach the database.", registry=self.registry
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"agent_worker_{name}", text, ["kind", *labels], registry=self.registry)

    def observe(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped."""
        Gauge(f"agent_worker_{name}", text, registry=self.registry).set_function(read)

    def claimed(self, kind: str, *, waited_s: float) -> None:
        """Count a claim."""
        self._claimed.labels(kind).inc()
        self._wait.labels(kind).observe(waited_s)

    def ended(self, kind: str, outcome: Outcome | None, *, ran_s: float) -> None:
        """Count how an attempt ended; None (the task had moved on) is counted by `fenced`."""
        match outcome:
            case Completed():
                self._completed.labels(kind).inc()
            case Failed(code=code):
                self._failed.labels(kind, code).inc()
            case Retry(code=code):
                self._retried.labels(kind, code).inc()
            case Cancel():
                self._cancelled.labels(kind).inc()
            case Park():
                self._parked.labels(kind).inc()
            case Release():
                self._released.labels(kind).inc()
            case None:
                return
        self._duration.labels(kind).observe(ran_s)

    def fenced(self, kind: str) -> None:
        """Count an outcome that came too late."""
        self._fenced.labels(kind).inc()

    def rescued(self, *, retried: int, failed: int, cancelled: int) -> None:
        """Count tasks taken back from dead workers."""
        self._rescued.labels("retried").inc(retried)
        self._rescued.labels("failed").inc(failed)
        self._rescued.labels("cancelled").inc(cancelled)

    def oldest_pending(self, age_s: float) -> None:
        """Note the age of the oldest due task."""
        self._oldest.set(age_s)

    def database_up(self, *, is_up: bool) -> None:
        """Note whether heartbeats reach the database."""
        self._database_up.set(1 if is_up else 0)

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
