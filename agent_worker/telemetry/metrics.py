"""Metrics for Prometheus, counted where the same facts are logged.

Counting is on the path of every task, so it is a few additions on plain numbers; prometheus-client turns them into
families when somebody scrapes. Everything here runs in the event loop's thread; a scrape in another thread may be one
task behind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Park, Release, Retry

DURATION_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
WAIT_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 5, 10, 60, 300, 3600)

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tasks_claimed": ("Attempts started.", ("kind",)),
    "tasks_completed": ("Tasks completed.", ("kind",)),
    "tasks_failed": ("Tasks failed for good.", ("kind", "code")),
    "tasks_retried": ("Attempts failed and repeated.", ("kind", "code")),
    "tasks_cancelled": ("Tasks cancelled while they ran.", ("kind",)),
    "tasks_released": ("Tasks given back at shutdown.", ("kind",)),
    "tasks_postponed": ("Attempts ended unused because a provider is paused.", ("kind",)),
    "tasks_parked": ("Attempts ended to wait for an answer.", ("kind",)),
    "tasks_fenced": ("Outcomes dropped because the task had moved on.", ("kind",)),
    "tasks_rescued": ("Tasks taken back from dead workers.", ("outcome",)),
    "gateway_answers": ("Requests and sockets answered by the gateway.", ("area", "status")),
    "provider_pauses": ("Times an overloaded model was left alone for a while.", ("provider",)),
}
"""Names without the prefix `agent_worker_` and the suffix `_total`, with help text and labels."""


class _Histogram:
    """Observations counted by bucket."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """Return the buckets as Prometheus counts them, each with all below it, and the sum."""
        total = 0
        buckets = []
        for bound, count in zip([*map(str, map(float, self._bounds)), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets, self._sum


class Metrics(Collector):
    """All metrics of one process, in a registry of their own.

    Label `kind` is the task's kind; kinds are few, for a worker runs only those it offers.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self._durations: defaultdict[str, _Histogram] = defaultdict(lambda: _Histogram(DURATION_BUCKETS_S))
        self._waits: defaultdict[str, _Histogram] = defaultdict(lambda: _Histogram(WAIT_BUCKETS_S))
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def observe(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a gauge that is read when it is scraped, from the scraping thread."""
        self._gauges[name] = (text, read)

    def claimed(self, kind: str, *, waited_s: float) -> None:
        """Count a claim."""
        self._counts["tasks_claimed", kind] += 1
        self._waits[kind].observe(waited_s)

    def ended(self, kind: str, outcome: Outcome, *, ran_s: float) -> None:
        """Count how an attempt ended and how long it took from its claim to the written outcome."""
        match outcome:
            case Completed():
                self._counts["tasks_completed", kind] += 1
            case Failed(code=code):
                self._counts["tasks_failed", kind, code] += 1
            case Retry(code=code):
                self._counts["tasks_retried", kind, code] += 1
            case Cancel():
                self._counts["tasks_cancelled", kind] += 1
            case Park():
                self._counts["tasks_parked", kind] += 1
            case Release(delay_s=delay_s):
                self._counts["tasks_postponed" if delay_s else "tasks_released", kind] += 1
        self._durations[kind].observe(ran_s)

    def fenced(self, kind: str) -> None:
        """Count an outcome that came too late."""
        self._counts["tasks_fenced", kind] += 1

    def rescued(self, *, retried: int, failed: int, cancelled: int) -> None:
        """Count tasks taken back from dead workers."""
        for outcome, count in (("retried", retried), ("failed", failed), ("cancelled", cancelled)):
            self._counts["tasks_rescued", outcome] += count

    def provider_paused(self, provider: str) -> None:
        """Count that a model of this provider is paused."""
        self._counts["provider_pauses", provider] += 1

    def answered(self, area: str, status: int) -> None:
        """Count an answer of the gateway; a socket that was opened counts as 101."""
        self._counts["gateway_answers", area, str(status)] += 1

    def count(self, name: str, *labels: str) -> int:
        """Return a counter's value; labels in the order of `COUNTERS`."""
        return self._counts.get((name, *labels), 0)

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by prometheus-client at a scrape."""
        counts = dict(self._counts)
        for name, (text, labels) in COUNTERS.items():
            counter = CounterMetricFamily(f"agent_worker_{name}", text, labels=labels)
            for (counted, *values), value in counts.items():
                if counted == name:
                    counter.add_metric(values, value)
            yield counter
        yield _family(
            "task_duration_seconds", "Time from claim to recorded outcome of one attempt.", self._durations
        )
        yield _family("task_queue_wait_seconds", "Time from becoming due to being claimed.", self._waits)
        for name, (text, read) in self._gauges.items():
            yield GaugeMetricFamily(f"agent_worker_{name}", text, value=read())

    def render(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


def _family(name: str, text: str, histograms: dict[str, _Histogram]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(f"agent_worker_{name}", text, labels=["kind"])
    for kind, histogram in list(histograms.items()):
        family.add_metric([kind], *histogram.cumulative())
    return family
