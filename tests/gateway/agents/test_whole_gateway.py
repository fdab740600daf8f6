"""The agents' routes in a gateway with everything on, and in one that is killed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.pipelines.names import PIPELINE
from agent_worker.worker.worker import Worker
from tests.cli.program import Background, Program, until
from tests.gateway.agents.agents import wire
from tests.gateway.agents.reading import listening
from tests.gateway.agents.serving import started
from tests.gateway.running import api, gateway
from tests.waiting import eventually


@pytest.fixture
def program(tmp_path: Path, database_url: str) -> Iterator[Program]:
    made = Program(tmp_path, database_url)
    yield made
    made.stop()


@pytest.fixture
async def agents(db: Database) -> None:
    for slug in ("echo", "wait"):
        await Definitions(db, PIPELINE).push(slug, wire(slug))


async def slot_is_let_go(db: Database) -> None:
    """Wait until nobody follows the database, which could not be dropped otherwise."""

    async def is_so() -> bool:
        query = "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        return await db.fetch_value(query) == 0

    await eventually(is_so)


@pytest.mark.usefixtures("agents")
async def test_a_user_who_signed_up_runs_an_agent(
    database_url: str, db: Database, worker: Worker, tmp_path: Path
) -> None:
    async with gateway(database_url, tmp_path) as running, api(running) as ask:
        assert "api" in running.parts
        session = await ask.sign_up()
        bearer = {"Authorization": f"Bearer {session['access_token']}"}
        async with httpx.AsyncClient(base_url=f"{ask.url}/api/agents", headers=bearer) as http:
            async with started(http, "echo", {"TOPIC": "the sea"}) as run:
                assert (await run.rest()).text == "the sea"
            where = {"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"}
            wanted = {"Access-Control-Request-Headers": "authorization,content-type,idempotency-key"}
            asked = await http.options("/echo/stream", headers={**where, **wanted})
            assert asked.headers["access-control-allow-origin"] == "http://localhost:5173"
            assert "idempotency-key" in asked.headers["access-control-allow-headers"]
        metrics = (await ask("GET", "/metrics")).text
        assert "agent_worker_agent_streams 0.0" in metrics
        assert 'area="api"' in metrics
        described = (await ask("GET", "/openapi.json")).json()["paths"]
        assert "/api/agents/{agent_id}/execute" in described
    await slot_is_let_go(db)


@pytest.mark.slow
@pytest.mark.usefixtures("agents")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_gateway_that_goes_down_in_the_middle_leaves_the_run_to_be_read_elsewhere(
    program: Program, db: Database, worker: Worker, how: signal.Signals
) -> None:
    first, second = [await asyncio.to_thread(start, program) for _ in range(2)]
    bearer = {"Authorization": f"Bearer {second[1]['secret_key']}"}
    async with httpx.AsyncClient(headers=bearer, timeout=20) as http:
        body = {"type": "start", "input": {"FOR": "1s"}}
        url = f"{first[1]['url']}/api/agents/wait/execute"
        async with listening(http, "POST", url, json=body) as run:
            await run.until("block-start")
            first[0].process.send_signal(how)
            try:
                heard = await run.rest()
            except httpx.RemoteProtocolError:
                heard = run.heard
        assert not heard.is_done
        where = f"{second[1]['url']}/api/agents/wait/executions/{heard.execution_id}/events"
        async with listening(http, "GET", where, headers={"Last-Event-ID": str(heard.last_id)}) as run:
            rest = await run.rest()
        async with listening(http, "GET", where) as run:
            assert (await run.rest()).events == [*heard.events, *rest.events]
    assert rest.is_done
    assert "worker-result" in rest.types
    for gone in (first, second):
        await asyncio.to_thread(gone[0].stop)
    await slot_is_let_go(db)


def start(program: Program) -> tuple[Background, dict[str, Any]]:
    """Start a gateway, and return what it prints of itself; keys are in the test's keys file."""
    started = program.start("gateway", "--json", "--port", "0")
    until(lambda: started.out.read_text().endswith("\n") or started.process.poll() is not None)
    printed: dict[str, Any] = json.loads(started.out.read_text())
    keys = json.loads((program.folder / printed["keys_file"]).read_text())
    return started, {**printed, "secret_key": keys["secret_key"]}
