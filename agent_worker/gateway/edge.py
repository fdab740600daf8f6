"""The outermost part: what is refused before anybody looks at it, and where an unexpected error ends.

Pure ASGI, for every request and every message of a body passes here. Inside CORS, so that a page can read why it was
refused; outside everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from agent_worker.domain.errors import GatewayError
from agent_worker.domain.loopback import is_loopback
from agent_worker.gateway.refusals import AUTH_PATH, FAILED, as_gateway_error, refusal
from agent_worker.security.limits import Buckets

logger = structlog.get_logger(__name__)

LARGEST_BODY_BYTES = 17 * 1024 * 1024
"""A payload of 16 MiB, and what JSON and other columns add."""

LARGEST_SIGN_IN_BYTES = 64 * 1024
"""Below /auth/v1, where bodies are read before anybody is known."""

LONGEST_URL_BYTES = 48 * 1024

UNEXPECTED = 1011
"""RFC 6455 §7.4.1: the server met a condition that it did not expect."""

AREAS = ("rest", "auth", "realtime", "api")
"""First parts of paths that are counted apart; whatever else is asked for is `other`."""

LOOPBACK_ORIGIN = r"https?://(localhost|[a-z0-9-]+\.localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"

_PORT = re.compile(r":\d{1,5}$")


@dataclass(frozen=True, slots=True)
class Origins:
    """Which pages in browsers may ask, and by which names this server may be called.

    Attributes:
        pages: Origins such as `https://app.example.com`; `*` for all.
        hosts: More names that the header Host may have.
        is_local: Whether this server is for this machine alone. Then pages of this machine, on any port, may ask, and
            it may be called by this machine's names only: a page elsewhere whose name was made to point here (DNS
            rebinding) would otherwise be of the same origin. Beyond, any name will do where `hosts` is empty.
    """

    pages: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    is_local: bool = True

    def admits_page(self, origin: str, host: str) -> bool:
        """Whether a page may open a socket; its own host always may."""
        if "*" in self.pages or origin in self.pages or origin.partition("://")[2] == host:
            return True
        return self.is_local and re.fullmatch(LOOPBACK_ORIGIN, origin) is not None

    def admits_host(self, host: str) -> bool:
        """Whether this server may be called so."""
        name = _PORT.sub("", host).lower()
        if name in self.hosts:
            return True
        return is_loopback(name) if self.is_local else not self.hosts


class Edge:
    """ASGI middleware.

    Args:
        app: What is inside.
        addresses: One bucket for each address that asks.
        origins: Pages and names that are let in.
        on_answer: Called with one of `AREAS` or `other`, and the status of each answer; 101 is an open socket.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        addresses: Buckets,
        origins: Origins,
        on_answer: Callable[[str, int], None] = lambda _area, _status: None,
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._origins = origins
        self._on_answer = on_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._on_answer)
        try:
            self._inspect(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except (ClientDisconnect, WebSocketDisconnect):
            return  # whoever asked has gone
        except Exception as exc:
            error = as_gateway_error(exc)
            if error is None:
                logger.exception("request.failed", method=scope.get("method", "GET"), path=_route(scope))
            await exchange.end(error or FAILED)

    def _inspect(self, scope: Scope) -> None:
        """Raise GatewayError for what needs no further look."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._origins.admits_host(host):
            raise GatewayError("This server has another name", status=421, code="misdirected_request")
        if len(scope["raw_path"]) + len(scope["query_string"]) > LONGEST_URL_BYTES:
            raise GatewayError("URI is too long", status=414, code="uri_too_long")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > (limit := _largest_body(scope)):
            raise _too_large(limit)
        if scope["type"] == "websocket":
            origin = headers.get("origin")
            if origin is not None and not self._origins.admits_page(origin, host):
                raise GatewayError("Pages of this origin may not ask", status=403, code="origin_not_allowed")
        self._addresses.require(scope["client"][0] if scope.get("client") else "local")


class _Exchange:
    """One request: counts its body, and knows how far the answer has come."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, on_answer: Callable[[str, int], None]
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._on_answer = on_answer
        self._largest_body = _largest_body(scope)
        self._body_bytes = 0
        self._has_begun = False

    async def receive(self) -> Message:
        """Pass a message on.

        Raises:
            GatewayError: 413, the body is larger than it said or than anything needs.
        """
        message = await self._receive()
        if message["type"] == "http.request":
            self._body_bytes += len(message.get("body", b""))
            if self._body_bytes > self._largest_body:
                raise _too_large(self._largest_body)
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        match message["type"]:
            case "http.response.start":
                self._answered(message["status"])
                message["headers"] = [*message.get("headers", ()), *_ALWAYS]
            case "websocket.http.response.start":
                self._answered(message["status"])
            case "websocket.accept":
                self._answered(101)
            case "websocket.close" if not self._has_begun:
                self._answered(403)  # what a server makes of a socket that is closed before it is accepted
        await self._send(message)

    def _answered(self, status: int) -> None:
        self._has_begun = True
        first = self._scope["path"].split("/", 2)[1:2]
        self._on_answer(first[0] if first and first[0] in AREAS else "other", status)

    async def end(self, error: GatewayError) -> None:
        """Answer with an error; an answer that has begun is cut, so that nobody takes it for whole."""
        if self._scope["type"] == "websocket":
            await self._end_socket(error)
        elif self._has_begun:
            raise ConnectionAbortedError
        else:
            await refusal(error, self._scope["path"])(self._scope, self._receive, self.send)

    async def _end_socket(self, error: GatewayError) -> None:
        if self._has_begun:
            await self._send({"type": "websocket.close", "code": UNEXPECTED})
            return
        # Starlette's response turns into an HTTP refusal of the handshake where the server can send one.
        await refusal(error, self._scope["path"])(self._scope, self._receive, self.send)


_ALWAYS: Iterable[tuple[bytes, bytes]] = ((b"x-content-type-options", b"nosniff"),)


def _route(scope: Scope) -> str:
    """Return the path without its query, which may hold keys."""
    return str(scope["path"])[:200]


def _largest_body(scope: Scope) -> int:
    return LARGEST_SIGN_IN_BYTES if scope["path"].startswith(AUTH_PATH) else LARGEST_BODY_BYTES


def _too_large(limit: int) -> GatewayError:
    return GatewayError(
        f"The body is larger than {limit} bytes",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        code="body_too_large",
    )
