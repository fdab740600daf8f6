"""`/healthz`, `/readyz` and `/metrics`, for supervisors, load balancers and Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.status import HTTP_503_SERVICE_UNAVAILABLE

from agent_worker.domain.caller import SERVICE_ROLE
from agent_worker.domain.errors import DatabaseUnavailable, GatewayError
from agent_worker.domain.loopback import is_loopback
from agent_worker.gateway.requests import address_of, caller_of
from agent_worker.telemetry import Metrics

Check: TypeAlias = Callable[[], Awaitable[str | None]]
"""Says in a few words what is not ready, or None. Whoever asks is unknown: no hosts, no names."""

CHECK_TIMEOUT_S = 5.0
_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def router(metrics: Metrics, readiness: Sequence[Check]) -> APIRouter:
    """Return the three routes."""
    made = APIRouter(tags=["operation"])

    @made.get("/healthz", response_class=PlainTextResponse, summary="Whether the process answers")
    async def healthz() -> str:
        return "ok\n"

    @made.get("/readyz", response_class=PlainTextResponse, summary="Whether requests can be served")
    async def readyz() -> PlainTextResponse:
        reasons = [reason for check in readiness if (reason := await _ask(check))]
        if reasons:
            return PlainTextResponse(f"{'; '.join(reasons)}\n", HTTP_503_SERVICE_UNAVAILABLE)
        return PlainTextResponse("ready\n")

    @made.get("/metrics", summary="Prometheus metrics, on this machine or with the secret key")
    async def show_metrics(request: Request) -> Response:
        await _require_operator(request)
        return Response(metrics.render(), media_type=_TEXT)

    return made


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except (DatabaseUnavailable, TimeoutError):
        return "database unavailable"


async def _require_operator(request: Request) -> None:
    """Let in who sits at this machine, and whoever has the secret key.

    A request that a proxy on this machine passes on comes from elsewhere.
    """
    is_passed_on = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if is_loopback(address_of(request)) and not is_passed_on:
        return
    if (await caller_of(request)).role != SERVICE_ROLE:
        raise GatewayError("Metrics are for the secret key", status=403, code="not_admin")
