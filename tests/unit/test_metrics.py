"""Metrics as Prometheus reads them, and the server that shows them."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent_worker.domain.errors import ConfigurationError
from agent_worker.domain.outcome import Completed, Failed, Release
from agent_worker.telemetry import Metrics, TelemetryServer


def samples(metrics: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    """Everything that is shown, by name and label values in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (s.name, tuple(s.labels[key] for key in sorted(s.labels))): s.value
        for family in families
        for s in family.samples
    }


def test_outcomes_are_counted_by_kind_and_code() -> None:
    metrics = Metrics()
    metrics.claimed("chat", waited_s=0.3)
    metrics.ended("chat", Completed("{}"), ran_s=0.3)
    metrics.ended("chat", Failed("No.", code="no_way", retryable=False), ran_s=99999)
    shown = samples(metrics)
    assert shown["agent_worker_tasks_completed_total", ("chat",)] == 1
    assert shown["agent_worker_tasks_failed_total", ("no_way", "chat")] == 1
    assert shown["agent_worker_task_duration_seconds_count", ("chat",)] == 2
    assert shown["agent_worker_task_duration_seconds_bucket", ("chat", "0.1")] == 0
    assert shown["agent_worker_task_duration_seconds_bucket", ("chat", "0.5")] == 1
    assert shown["agent_worker_task_queue_wait_seconds_sum", ("chat",)] == 0.3


def test_what_is_postponed_is_told_apart_from_what_a_shutdown_gives_back() -> None:
    metrics = Metrics()
    metrics.ended("chat", Release(), ran_s=0.1)
    metrics.ended("chat", Release(2.0, message="Later.", code="provider_paused"), ran_s=0.1)
    metrics.provider_paused("openai")
    shown = samples(metrics)
    assert shown["agent_worker_tasks_released_total", ("chat",)] == 1
    assert shown["agent_worker_tasks_postponed_total", ("chat",)] == 1
    assert shown["agent_worker_provider_pauses_total", ("openai",)] == 1


def test_a_gauge_is_read_at_each_scrape() -> None:
    metrics, values = Metrics(), iter([1.0, 2.0])
    metrics.observe("in_flight", "Attempts that hold a slot.", lambda: next(values))
    assert samples(metrics)["agent_worker_in_flight", ()] == 1.0
    assert samples(metrics)["agent_worker_in_flight", ()] == 2.0


def test_the_server_shows_metrics_and_health_and_names_what_it_knows() -> None:
    reason: list[str | None] = [None]
    server = TelemetryServer(Metrics(), why_not_ready=lambda: reason[0])
    server.start()
    try:
        base = f"http://127.0.0.1:{server.port}"
        assert b"agent_worker_tasks_claimed" in urllib.request.urlopen(f"{base}/metrics").read()
        assert urllib.request.urlopen(f"{base}/healthz").status == 200
        assert urllib.request.urlopen(f"{base}/readyz").read() == b"ready\n"
        reason[0] = "draining"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{base}/readyz")
        with refused.value as answer:
            assert (answer.code, answer.read()) == (503, b"draining\n")
    finally:
        server.stop()
        server.stop()


def test_a_taken_port_is_told_with_the_way_out() -> None:
    first = TelemetryServer(Metrics(), why_not_ready=lambda: None)
    first.start()
    try:
        with pytest.raises(ConfigurationError, match="choose another --metrics-port"):
            TelemetryServer(Metrics(), why_not_ready=lambda: None, port=first.port).start()
    finally:
        first.stop()
