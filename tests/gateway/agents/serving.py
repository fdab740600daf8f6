"""The agents' routes behind a real door, in the event loop that runs, over the test's database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from agent_worker.db.access.statements import Statements
from agent_worker.db.connection import Database
from agent_worker.db.continuing import Continuing
from agent_worker.db.definitions import Definitions
from agent_worker.db.following import Followers
from agent_worker.db.looking import Looking
from agent_worker.db.runs import Runs
from agent_worker.gateway.agents.catalogue import Catalogue
from agent_worker.gateway.agents.routes import router
from agent_worker.gateway.agents.running import Running
from agent_worker.gateway.agents.streams import Streams
from agent_worker.gateway.server import GatewayOptions, GatewayServer, create_app
from agent_worker.pipelines.names import PIPELINE
from agent_worker.telemetry import Metrics
from tests.gateway.agents.agents import wire
from tests.gateway.agents.reading import Listening, listening
from tests.gateway.door import SECRET, door, token
from tests.gateway.serving import gateway_database


@dataclass
class AgentsGateway:
    """A running gateway, and what a test may reach in it."""

    url: str
    streams: Streams
    server: GatewayServer
    definitions: Definitions

    def client(self, who: UUID | str | None, **claims: Any) -> httpx.AsyncClient:
        """A client of a user, of the service role (its name), or of nobody (None)."""
        bearer = SECRET if who == "service_role" else None if who is None else token(who, **claims)
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
        return httpx.AsyncClient(base_url=f"{self.url}/api/agents", headers=headers)

    async def push(self, *slugs: str) -> None:
        """Store agents of `agents.py`."""
        for slug in slugs:
            await self.definitions.push(slug, wire(slug))

    async def stop(self) -> None:
        """Stop, as the program does."""
        self.streams.stop()
        await self.server.stop()


@contextlib.asynccontextmanager
async def agents_gateway(
    database_url: str,
    db: Database,
    *,
    heartbeat_s: float = 15.0,
    stall_s: float = 60.0,
    now: Callable[[], float] = time.time,
    runs_of: Callable[[Statements], Runs] = Runs,
    looking_of: Callable[[Database], Looking] = Looking,
) -> AsyncIterator[AgentsGateway]:
    """Serve `/api/agents` on a free port."""
    # Two hundred ask at once, on a machine that may be busy with other things.
    async with gateway_database(database_url, acquire_timeout_s=60.0) as strangers:
        runs, definitions = runs_of(Statements(strangers)), Definitions(db, PIPELINE)
        catalogue, followers, looking = Catalogue(definitions), Followers(db), looking_of(db)
        streams = Streams(runs, looking, followers, heartbeat_s=heartbeat_s, now=now)
        app = create_app(
            GatewayOptions(),
            door=door(),
            metrics=Metrics(),
            routers=(router(catalogue, Running(runs, Continuing(strangers), catalogue), streams),),
        )
        server = GatewayServer(app, host="127.0.0.1", port=0, stall_s=stall_s)
        await followers.start()
        await server.start()
        made = AgentsGateway(server.url, streams, server, definitions)
        try:
            yield made
        finally:
            await made.stop()
            await followers.stop()
            await looking.stop()


@contextlib.asynccontextmanager
async def started(
    http: httpx.AsyncClient, slug: str, given: dict[str, Any], *, door: str = "execute", **request: Any
) -> AsyncIterator[Listening]:
    """Start a run and listen to it."""
    body = {"type": "start", "input": given}
    async with listening(http, "POST", f"/{slug}/{door}", json=body, **request) as heard:
        yield heard
