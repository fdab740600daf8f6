"""The log line that says a worker still watches."""

from __future__ import annotations

from structlog.testing import capture_logs

from agent_worker.worker.lifesign import LifeSign


async def test_a_worker_says_now_and_then_that_it_watches_but_not_at_its_start() -> None:
    sign = LifeSign("walter", in_flight=lambda: 3)

    with capture_logs() as lines:
        await sign.run_once()
        assert lines == []
        await sign.run_once()

    (line,) = lines
    assert (line["event"], line["name"], line["in_flight"]) == ("worker.heartbeat", "walter", 3)
    assert sign.interval_s == 30
