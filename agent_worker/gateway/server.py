"""The gateway as one FastAPI app, and that app as a server inside another asyncio program."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from agent_worker import __version__
from agent_worker.domain.errors import ConfigurationError
from agent_worker.gateway.edge import LOOPBACK_ORIGIN, Edge, Origins
from agent_worker.gateway.realtime.wire import BoundedSocket
from agent_worker.gateway.refusals import NO_ROUTE, as_gateway_error, refusal
from agent_worker.gateway.requests import Reception
from agent_worker.gateway.routes import dashboard, health
from agent_worker.gateway.wire import HEAD_TIMEOUT_S, STALL_S, BoundedHttp
from agent_worker.security.door import Door
from agent_worker.security.limits import Buckets
from agent_worker.telemetry import Metrics

logger = structlog.get_logger(__name__)

LARGEST_FRAME_BYTES = 5_000_000
"""As Supabase's Realtime: a larger frame closes the socket with 1009."""

STOP_GRACE_S = 2
KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections (httpx 5 s, undici 4 s), so that none is closed under a request."""

EXPOSED_HEADERS = (
    "Content-Encoding",
    "Content-Location",
    "Content-Range",
    "Link",
    "Location",
    "Preference-Applied",
    "Range-Unit",
    "Retry-After",
    "WWW-Authenticate",
    "X-Total-Count",
)
"""What scripts of another origin may read of an answer; supabase-js counts rows by Content-Range."""


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """How the gateway behaves.

    Attributes:
        origins: Pages and names that are let in.
        per_address_s: Requests a second from one address that last, ten times as many at once; 0 sets no limit.
        per_caller_s: The same for one user, or one key at one address.
        dashboard: What `/config.json` tells the dashboard.
    """

    origins: Origins = field(default_factory=Origins)
    per_address_s: float = 1000.0
    per_caller_s: float = 1000.0
    dashboard: dashboard.DashboardConfig | None = None


def create_app(
    options: GatewayOptions,
    *,
    door: Door,
    metrics: Metrics,
    readiness: Sequence[health.Check] = (),
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Put the parts together.

    Args:
        options: See there.
        door: Decides who comes in.
        metrics: What `/metrics` shows; answers are counted there.
        readiness: Questions of `/readyz`.
        routers: The parts that are on, each with its own prefix: rest/v1, realtime/v1, auth/v1 …
    """
    app = FastAPI(
        title="agent-worker gateway",
        version=__version__,
        description="Supabase's HTTP API, as far as supabase-js and supabase-py use it; and agents.",
        # Pages that load scripts from elsewhere; `GET /openapi.json` stays.
        docs_url=None,
        redoc_url=None,
        # Clients of Supabase never meet a redirect, and one would lose their headers.
        redirect_slashes=False,
        strict_content_type=False,
        exception_handlers={
            HTTPException: _print_error,
            RequestValidationError: _print_error,
        },
    )
    app.state.reception = Reception(door, _buckets(options.per_caller_s))
    app.add_middleware(
        Edge,
        addresses=_buckets(options.per_address_s),
        origins=options.origins,
        on_answer=metrics.answered,
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=options.origins.pages,
        allow_origin_regex=LOOPBACK_ORIGIN if options.origins.is_local else None,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED_HEADERS,
        max_age=3600,
    )
    app.include_router(health.router(metrics, readiness))
    for router in routers:
        app.include_router(router)
    dashboard.mount(app, options.dashboard)
    return app


class GatewayServer:
    """Serves an app until it is stopped, as one task of the running event loop; signals stay the program's.

    Args:
        app: See `create_app`.
        host: Address to listen on.
        port: TCP port; 0 picks a free one, see `port` after `start`.
        trusted_proxies: Addresses whose `X-Forwarded-For` is believed; `*` for all.
        head_timeout_s: Longest wait for the head of a request to end.
        stall_s: Longest time in which a client takes nothing of an answer.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str,
        port: int,
        trusted_proxies: Sequence[str] = (),
        head_timeout_s: float = HEAD_TIMEOUT_S,
        stall_s: float = STALL_S,
    ) -> None:
        self.host = host
        self.port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                http=functools.partial(BoundedHttp, head_timeout_s=head_timeout_s, stall_s=stall_s),  # type: ignore[arg-type]  # any factory does
                ws=BoundedSocket,
                ws_max_size=LARGEST_FRAME_BYTES,
                # Compressing each frame for each socket would cost a fan-out more than the loopback or a LAN gains.
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level=logging.CRITICAL,
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies) or None,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_GRACE_S,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where clients find it, without a slash at the end."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def start(self) -> None:
        """Listen; starting what runs already changes nothing.

        Raises:
            ConfigurationError: The port is taken, or the address is not this machine's.
        """
        if self._task is not None:
            return
        listener = _listen(self.host, self.port)
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="gateway")
        await self._server.is_up.wait()
        logger.info("gateway.started", url=self.url)

    async def stop(self) -> None:
        """Close: sockets get 1012, requests under way may end within `STOP_GRACE_S`; twice is fine."""
        task, self._task = self._task, None
        if task is None:
            return
        self._server.should_exit = True
        await asyncio.wait({task}, timeout=STOP_GRACE_S + 1.0)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        logger.info("gateway.stopped", url=self.url)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name the protocol; without it each answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port} · {exc.strerror or exc} · "
            "choose another --port, or stop what uses it"
        ) from exc
    return listener


def _buckets(per_s: float) -> Buckets:
    return Buckets(per_s=per_s, burst=10 * per_s)


async def _print_error(request: Request, error: Exception) -> Response:
    return refusal(as_gateway_error(error) or NO_ROUTE, request.url.path)
