"""A gateway that has nothing but Realtime, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
import uvicorn
from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from agent_worker.db.topics import Topics
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import GatewayError
from agent_worker.gateway.realtime.frames import LARGEST_FRAME_BYTES
from agent_worker.gateway.realtime.hub import Hub
from agent_worker.gateway.realtime.limits import RealtimeLimits
from agent_worker.gateway.realtime.routes import router
from agent_worker.gateway.realtime.wire import BoundedSocket
from agent_worker.gateway.wire import BoundedHttp
from tests.gateway.realtime.changes import MemoryChanges
from tests.waiting import eventually

PUBLISHABLE = "sb_publishable_Zt4mBn7RsEu1oPi9VxCyLa2K"
SECRET = "sb_secret_Wq8vLr2NfYx0aJk5TzHcGd3M"
JWT_SECRET = "a-secret-of-this-test-and-of-nothing-else"


def token(user_id: UUID | str, *, lasts_s: float = 3600, role: str = "authenticated", **claims: Any) -> str:
    """Sign a user in."""
    known = {"sub": str(user_id), "role": role, "exp": time.time() + lasts_s}
    return jwt.encode(known | claims, JWT_SECRET, algorithm="HS256")


class Door:
    """Lets in whoever has one of the keys, or a token that we signed."""

    async def caller_of(self, request: HTTPConnection) -> Caller:
        key = request.headers.get("apikey") or request.query_params.get("apikey")
        roles = {PUBLISHABLE: "anon", SECRET: "service_role"}
        if key is None:
            raise GatewayError("No API key found in request", status=401, code="no_api_key")
        if key not in roles:
            raise GatewayError("Invalid API key", status=401, code="invalid_api_key")
        _, _, bearer = request.headers.get("authorization", "").partition(" ")
        if bearer in ("", key):
            return Caller(roles[key], {"role": roles[key]})
        return await self.admit_token(bearer)

    async def admit_token(self, text: str) -> Caller:
        try:
            claims = jwt.decode(text, JWT_SECRET, ["HS256"], options={"verify_aud": False})
        except jwt.ExpiredSignatureError as exc:
            raise GatewayError("JWT expired", status=401, code="PGRST303") from exc
        except jwt.InvalidTokenError as exc:
            raise GatewayError("JWT cryptographic operation failed", status=401, code="PGRST301") from exc
        return Caller(claims["role"], claims, claims["exp"])


@dataclass
class Gateway:
    """A running server and what a test may reach in it."""

    hub: Hub
    changes: MemoryChanges
    door: Door
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def socket_url(self, *, key: str | None = PUBLISHABLE, vsn: str | None = "2.0.0") -> str:
        query = "&".join(f"{k}={v}" for k, v in (("apikey", key), ("vsn", vsn)) if v is not None)
        return f"ws://127.0.0.1:{self.port}/realtime/v1/websocket?{query}"


@contextlib.asynccontextmanager
async def running(
    topics: Topics,
    *,
    limits: RealtimeLimits | None = None,
    port: int = 0,
    changes: MemoryChanges | None = None,
    http: type[asyncio.Protocol] = BoundedHttp,
    ws: type[asyncio.Protocol] = BoundedSocket,
) -> AsyncIterator[Gateway]:
    """Serve Realtime on a free port, or on the one a test had before."""
    door, source = Door(), changes or MemoryChanges()
    hub = Hub(changes=source, topics=topics, admit_token=door.admit_token, limits=limits)
    app = FastAPI()
    app.include_router(router(hub, caller_of=door.caller_of))
    app.add_exception_handler(GatewayError, _refuse)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            http=http,
            ws=ws,
            ws_max_size=LARGEST_FRAME_BYTES,
            ws_per_message_deflate=False,
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # they are pytest's
    task = asyncio.create_task(server.serve())
    await eventually(lambda: asyncio.sleep(0, server.started))
    try:
        yield Gateway(hub, source, door, server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return JSONResponse({"message": str(error), "code": error.code}, status_code=error.status)
