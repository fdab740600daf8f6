"""Runs from start to end: started, read, asked, answered, taken up again."""

from __future__ import annotations

from uuid import UUID

import httpx
import pytest

from agent_worker.worker.worker import Worker
from tests.gateway.agents.reading import listening
from tests.gateway.agents.serving import started
from tests.worker.conftest import Rows


async def test_a_run_streams_from_start_to_usage_and_is_done(
    ann: httpx.AsyncClient, worker: Worker, rows: Rows, ann_id: UUID
) -> None:
    async with started(ann, "echo", {"TOPIC": "the sea"}) as run:
        heard = await run.rest()
    assert heard.is_done
    assert heard.types[:2] == ["start", "worker-start"]
    assert "finish" in heard.types[-2:]
    assert heard.text == "the sea"
    assert heard.one("worker-result")["output"] == "the sea"
    task = await rows.task(UUID(heard.execution_id))
    assert (task["kind"], task["user_id"], task["status"]) == ("pipeline", str(ann_id), "completed")
    assert task["request_payload"] == {"agent": "echo", "version": 1, "input": {"TOPIC": "the sea"}}
    where = run.response.headers["content-location"]
    assert where == f"/api/agents/echo/executions/{heard.execution_id}"
