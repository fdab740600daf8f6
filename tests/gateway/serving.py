"""Tables and functions behind a real door, in the event loop that runs, on a free port of the loopback interface.

What follows the database, and what signs users in, is left out: `running.py` has all of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from agent_worker.db.access.access import Access
from agent_worker.db.access.acting import give_up_rights
from agent_worker.db.connection import Database
from agent_worker.gateway.rest.routes import router
from agent_worker.gateway.server import GatewayOptions, GatewayServer, create_app
from agent_worker.telemetry import Metrics
from tests.gateway.door import door


@contextlib.asynccontextmanager
async def gateway_database(
    database_url: str, *, max_size: int = 4, acquire_timeout_s: float = 10.0
) -> AsyncIterator[Database]:
    """Open the gateway's own pool, whose sessions are authenticator's."""
    async with Database(
        database_url, max_size=max_size, acquire_timeout_s=acquire_timeout_s, configure=give_up_rights
    ) as opened:
        yield opened


@contextlib.asynccontextmanager
async def started(access: Access) -> AsyncIterator[Access]:
    """Hold the access open."""
    await access.start()
    try:
        yield access
    finally:
        await access.stop()


@contextlib.asynccontextmanager
async def serving(access: Access) -> AsyncIterator[str]:
    """Serve tables and functions, and give the URL."""
    app = create_app(GatewayOptions(), door=door(), metrics=Metrics(), routers=(router(access),))
    server = GatewayServer(app, host="127.0.0.1", port=0)
    await server.start()
    try:
        yield server.url
    finally:
        await server.stop()
