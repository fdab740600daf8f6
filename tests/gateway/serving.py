"""A real gateway in the event loop that runs, on a free port of the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import uvicorn
from fastapi import FastAPI

from agent_worker.db.access.access import Access
from agent_worker.db.access.acting import give_up_rights
from agent_worker.db.connection import Database
from agent_worker.gateway.rest.routes import router
from tests.gateway.door import Door
from tests.waiting import eventually

AUTHENTICATOR = b"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
    CREATE ROLE authenticator LOGIN NOINHERIT;
  END IF;
  GRANT anon, authenticated, service_role TO authenticator;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""


@contextlib.asynccontextmanager
async def gateway_database(database_url: str, *, max_size: int = 4) -> AsyncIterator[Database]:
    """Open the gateway's own pool, whose sessions are authenticator's."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(AUTHENTICATOR)
    async with Database(database_url, max_size=max_size, configure=give_up_rights) as opened:
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
    app = FastAPI()
    app.state.door = Door()
    app.include_router(router(access))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())

    async def listens() -> bool:
        return server.started

    await eventually(listens)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task
