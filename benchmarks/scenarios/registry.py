"""Every scenario, by name, in the order in which they run."""

from __future__ import annotations

from benchmarks.scenarios.concurrent import ConcurrentScenario
from benchmarks.scenarios.drain import DrainScenario
from benchmarks.scenarios.enqueue import EnqueueScenario
from benchmarks.scenarios.held import HeldScenario
from benchmarks.scenarios.history import HistoryScenario
from benchmarks.scenarios.idle import IdleScenario
from benchmarks.scenarios.latency import LatencyScenario
from benchmarks.scenarios.pipelines import PipelinesScenario
from benchmarks.scenarios.realtime import RealtimeScenario
from benchmarks.scenarios.rescue import RescueScenario
from benchmarks.scenarios.scenario import Scenario
from benchmarks.scenarios.sockets import SocketsScenario
from benchmarks.scenarios.streams import StreamsScenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        DrainScenario(),
        EnqueueScenario(),
        LatencyScenario(),
        HeldScenario(),
        HistoryScenario(),
        ConcurrentScenario(),
        IdleScenario(),
        RescueScenario(),
        RealtimeScenario(),
        SocketsScenario(),
        StreamsScenario(),
        PipelinesScenario(),
    )
}
