"""The server itself: limits, origins, errors, metrics, and how it starts and stops."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import websockets
from fastapi import APIRouter, Request, Response, WebSocket
from websockets.asyncio.client import connect

from agent_worker.domain.errors import ConfigurationError, DatabaseUnavailable
from agent_worker.gateway.edge import LARGEST_BODY_BYTES, LARGEST_SIGN_IN_BYTES, LONGEST_URL_BYTES, Origins
from agent_worker.gateway.requests import caller_of
from agent_worker.gateway.routes.dashboard import DashboardConfig, SignIn
from agent_worker.gateway.server import GatewayOptions, GatewayServer, create_app
from agent_worker.gateway.wire import LARGEST_HEAD_BYTES
from agent_worker.security.door import Door
from agent_worker.security.keys import ApiKeys
from agent_worker.security.tokens import TokenVerifier
from agent_worker.telemetry import Metrics
from tests.gateway.security.signing import JWT_SECRET, token
from tests.waiting import eventually

KEYS = ApiKeys.generate()
MUCH = b"x" * 32 * 2**20
"""More than the system's buffers between two sockets hold."""
PUBLISHABLE, SECRET = KEYS.publishable.get_secret_value(), KEYS.secret.get_secret_value()


def parts() -> APIRouter:
    """Routes that do what a part may do, well or badly."""
    made = APIRouter(prefix="/rest/v1")

    @made.get("/who")
    async def who(request: Request) -> dict[str, Any]:
        caller = await caller_of(request)
        return {"role": caller.role, "user_id": str(caller.user_id)}

    @made.post("/size")
    async def size(request: Request) -> int:
        return len(await request.body())

    @made.get("/bug")
    async def bug() -> None:
        raise RuntimeError("postgresql://user:secret@db/x")

    @made.get("/away")
    async def away() -> None:
        raise DatabaseUnavailable("postgres is not reachable at 10.1.2.3:5432/secret")

    @made.get("/much")
    async def much() -> Response:
        return Response(MUCH)

    @made.get("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @made.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await caller_of(socket)
        await socket.accept()
        while True:
            text = await socket.receive_text()
            if text == "bug":
                raise RuntimeError("broken")
            await socket.send_text(text)

    return made


@contextlib.asynccontextmanager
async def served(
    options: GatewayOptions | None = None,
    *,
    head_timeout_s: float = 20.0,
    stall_s: float = 60.0,
    **more: Any,
) -> AsyncIterator[GatewayServer]:
    app = create_app(
        options or GatewayOptions(),
        door=Door(KEYS, TokenVerifier(jwt_secret=JWT_SECRET)),
        **{"metrics": Metrics(), "routers": (parts(),), **more},
    )
    server = GatewayServer(app, host="127.0.0.1", port=0, head_timeout_s=head_timeout_s, stall_s=stall_s)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def serving(options: GatewayOptions | None = None, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        served(options, **more) as server,
        httpx.AsyncClient(base_url=server.url, headers={"apikey": PUBLISHABLE}) as client,
    ):
        yield client


async def ask_for_much(server: GatewayServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a long answer, and read its head."""
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=65_536)
    writer.write(b"GET /rest/v1/much HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def told(reply: httpx.Response) -> tuple[int, str]:
    body = reply.json()
    assert set(body) == {"code", "details", "hint", "message"}
    return reply.status_code, body["code"]


async def raw(url: str, *pieces: bytes) -> bytes:
    """Send bytes as they are and return everything that comes back."""
    address = httpx.URL(url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
    answer = b""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            answer = await reader.read()
    writer.close()
    return answer


# Who asks


async def test_keys_and_tokens_become_callers() -> None:
    async with serving() as http:
        assert (await http.get("/rest/v1/who")).json()["role"] == "anon"
        assert (await http.get(f"/rest/v1/who?apikey={SECRET}", headers={"apikey": ""})).json()[
            "role"
        ] == "service_role"
        for scheme in ("Bearer", "bearer", "BEARER  "):
            user = await http.get("/rest/v1/who", headers={"Authorization": f"{scheme} {token()}"})
            assert user.json()["role"] == "authenticated"
        basic = await http.get("/rest/v1/who", headers={"Authorization": "Basic YTpi"})
        assert basic.json()["role"] == "anon", "another scheme is none of ours"


async def test_refusals_have_postgrests_shape_and_challenge() -> None:
    async with serving() as http:
        assert told(await http.get("/rest/v1/who", headers={"apikey": ""})) == (401, "no_api_key")
        expired = await http.get("/rest/v1/who", headers={"Authorization": f"Bearer {token(exp=1)}"})
        assert told(expired) == (401, "PGRST303")
        assert expired.json()["message"] == "JWT expired"
        assert expired.headers["www-authenticate"].startswith("Bearer error=")
        browser = {"apikey": SECRET, "User-Agent": "Mozilla/5.0 (Macintosh) Safari/605.1.15"}
        assert told(await http.get("/rest/v1/who", headers=browser)) == (401, "secret_key_in_browser")


# Limits


async def test_an_address_that_asks_too_often_is_told_when_to_come_back() -> None:
    async with serving(GatewayOptions(per_address_s=0.2)) as http:  # two at once, then one in five seconds
        statuses = [(await http.get("/healthz")).status_code for _ in range(4)]
        late = await http.get("/rest/v1/who")

    assert statuses == [200] * 2 + [429] * 2
    assert told(late) == (429, "over_request_rate_limit")
    assert 1 <= int(late.headers["retry-after"]) <= 5


async def test_one_user_does_not_use_up_anothers_share() -> None:
    async with serving(GatewayOptions(per_caller_s=0.1)) as http:  # one, then another in ten seconds
        ann, bob = (
            {"Authorization": f"Bearer {token(sub=sub)}"}
            for sub in ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
        )
        anns = [(await http.get("/rest/v1/who", headers=ann)).status_code for _ in range(2)]
        bobs = (await http.get("/rest/v1/who", headers=bob)).status_code

    assert (anns, bobs) == ([200, 429], 200)


async def test_bodies_are_limited_whether_or_not_they_say_their_length() -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1_048_576

    async with serving() as http:
        assert (await http.post("/rest/v1/size", content=b"x" * 16_777_216)).json() == 16_777_216
        assert told(await http.post("/rest/v1/size", content=b"x" * (LARGEST_BODY_BYTES + 1))) == (
            413,
            "body_too_large",
        )
        assert told(await http.post("/rest/v1/size", content=chunks(18))) == (413, "body_too_large")
        assert (await http.post("/rest/v1/size", content=b"x")).json() == 1, "the connection goes on"
        sign_in = await http.post("/auth/v1/signup", content=b"x" * (LARGEST_SIGN_IN_BYTES + 1))
        assert (sign_in.status_code, sign_in.json()["error_code"]) == (413, "body_too_large")


async def test_urls_and_headers_are_limited() -> None:
    async with serving() as http:
        assert (await http.get("/rest/v1/who?x=" + "y" * 40_000)).status_code == 200
        end = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for length in (LONGEST_URL_BYTES, 65_536, 80_000):
            answer = await raw(str(http.base_url), b"GET /rest/v1/who?x=" + b"y" * length + end)
            assert answer.startswith(b"HTTP/1.1 414 ")
        head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
        large = await raw(str(http.base_url), head + b"X: " + b"y" * LARGEST_HEAD_BYTES, b"y" * 100_000)
        many = await raw(str(http.base_url), head, b"X: y\r\n" * 50_000)

    for answer in (large, many):
        head_part, _, body = answer.partition(b"\r\n\r\n")
        assert head_part.startswith(b"HTTP/1.1 431 ")
        assert json.loads(body)["code"] == "headers_too_large"
        assert f"content-length: {len(body)}".encode() in head_part


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00" * 1000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_no_http_ends_the_connection_and_nothing_else(data: bytes) -> None:
    async with serving() as http:
        assert (await raw(str(http.base_url), data)).startswith((b"HTTP/1.1 400", b"HTTP/1.1 421"))
        assert (await http.get("/healthz")).status_code == 200


async def test_a_request_that_never_ends_its_head_is_hung_up_on() -> None:
    async with serving(head_timeout_s=0.2) as http:
        assert await raw(str(http.base_url), b"GET /healthz HTTP/1.1\r\nX: ") == b""
        assert await raw(str(http.base_url)) == b""


# Origins


async def test_a_client_that_stops_reading_is_hung_up_on_though_its_answer_is_complete() -> None:
    async with served(stall_s=0.2) as server:
        _, writer = await ask_for_much(server)

        async def is_let_go() -> bool:
            return not server._server.server_state.connections

        await eventually(is_let_go)
        writer.transport.abort()


async def test_a_client_that_reads_slowly_gets_all_of_its_answer() -> None:
    async with served(stall_s=0.2) as server:
        reader, writer = await ask_for_much(server)
        left = len(MUCH)
        while left:
            left -= len(await reader.readexactly(min(left, 2**20)))
            await asyncio.sleep(0.02)
        writer.close()


async def preflight(http: httpx.AsyncClient, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "apikey,prefer,x-client-info",
    }
    return await http.options("/rest/v1/who", headers=asked)


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1:3000", True),
        ("http://app.localhost", True),
        ("http://[::1]:8080", True),
        ("https://localhost:8443", True),
        ("https://example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com:3000", False),
        ("http://localhost:5173.example.com", False),
        ("null", False),
    ],
)
async def test_pages_of_this_machine_may_ask_and_no_others(origin: str, is_let_in: bool) -> None:
    async with serving() as http:
        first = await preflight(http, origin)
        reply = await http.get("/rest/v1/who", headers={"Origin": origin})

    for answer in (first, reply):
        assert answer.headers.get("access-control-allow-origin") == (origin if is_let_in else None)
    assert (first.status_code == 200) is is_let_in
    if is_let_in:
        assert "prefer" in first.headers["access-control-allow-headers"]
        assert "Content-Range" in reply.headers["access-control-expose-headers"]


async def test_configured_pages_may_ask_and_read_refusals_too() -> None:
    options = GatewayOptions(
        origins=Origins(pages=("https://app.example.com",), is_local=False), per_address_s=0.1
    )
    async with serving(options) as http:
        asked = {"Origin": "https://app.example.com", "apikey": "wrong"}
        refused = await http.get("/rest/v1/who", headers=asked)
        limited = await http.get("/rest/v1/who", headers=asked)
        assert (refused.status_code, limited.status_code) == (401, 429)
        for answer in (refused, limited, await preflight(http, "https://app.example.com")):
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
        assert "access-control-allow-origin" not in (await preflight(http, "http://localhost:5173")).headers


async def test_on_a_developers_machine_a_name_that_was_made_to_point_here_is_refused() -> None:
    async with serving() as http:
        assert told(await http.get("/config.json", headers={"Host": "rebound.example.com"})) == (
            421,
            "misdirected_request",
        )
        assert (await http.get("/healthz", headers={"Host": "app.localhost:99"})).status_code == 200
    async with serving(GatewayOptions(origins=Origins(hosts=("api.example.com",), is_local=False))) as http:
        assert (await http.get("/healthz", headers={"Host": "api.example.com"})).status_code == 200
        assert (await http.get("/healthz", headers={"Host": "localhost"})).status_code == 421


# Sockets


def socket_url(http: httpx.AsyncClient, key: str = PUBLISHABLE) -> str:
    return f"{str(http.base_url).rstrip('/').replace('http', 'ws', 1)}/rest/v1/echo?apikey={key}"


async def test_sockets_are_refused_at_the_handshake_with_a_reason() -> None:
    async with serving() as http:
        for url, origin, status, code in (
            (socket_url(http, "wrong"), None, 401, "invalid_api_key"),
            (socket_url(http), "https://example.com", 403, "origin_not_allowed"),
            (socket_url(http).replace("echo", "nothing"), None, 403, None),
        ):
            with pytest.raises(websockets.InvalidStatus) as caught:
                await connect(url, origin=origin)  # type: ignore[arg-type]
            assert caught.value.response.status_code == status
            if code:
                assert json.loads(caught.value.response.body)["code"] == code
        async with connect(socket_url(http), origin="http://localhost:5173") as ws:  # type: ignore[arg-type]
            await ws.send("hello")
            assert await ws.recv() == "hello"


async def test_a_frame_that_is_too_large_closes_its_socket_with_1009() -> None:
    async with serving() as http, connect(socket_url(http), max_size=None) as ws:
        await ws.send("x" * 4_999_999)
        assert len(await ws.recv()) == 4_999_999
        with contextlib.suppress(websockets.ConnectionClosed):
            await ws.send("x" * 5_000_001)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_a_socket_whose_part_breaks_is_closed_with_1011() -> None:
    async with serving() as http, connect(socket_url(http)) as ws:
        await ws.send("bug")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1011
        assert (await http.get("/healthz")).status_code == 200


# Errors


async def test_an_unexpected_error_is_a_plain_answer_and_a_log_line_with_its_traceback() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving() as http:
            reply = await http.get(
                f"/rest/v1/bug?apikey={PUBLISHABLE}", headers={"Origin": "http://localhost:1"}
            )

    assert told(reply) == (500, "unexpected_failure")
    assert "secret" not in reply.text
    assert reply.headers["access-control-allow-origin"] == "http://localhost:1", (
        "a page can read that it failed"
    )
    (line,) = [line for line in logs if line["event"] == "request.failed"]
    assert (line["path"], line["exc_info"]) == ("/rest/v1/bug", True)
    assert PUBLISHABLE not in str(line)


async def test_a_database_that_is_away_is_503_and_names_nobody() -> None:
    async with serving() as http:
        reply = await http.get("/rest/v1/away")

    assert told(reply) == (503, "PGRST000")
    assert reply.headers["retry-after"] == "1"
    assert "10.1.2.3" not in reply.text


async def test_unknown_paths_and_methods_are_json() -> None:
    async with serving() as http:
        assert told(await http.get("/nothing/here")) == (404, "no_route")
        assert told(await http.post("/rest/v1/who")) == (405, "method_not_allowed")
        assert (await http.get("/nothing/here")).headers.get("server") is None


# Health, metrics, the dashboard


async def test_ready_says_what_is_not() -> None:
    async def feed() -> str | None:
        return "the feed starts"

    async def db() -> str | None:
        raise DatabaseUnavailable("postgres is not reachable at 10.1.2.3")

    async def fine() -> str | None:
        return None

    async with serving(readiness=(fine, feed, db)) as http:
        reply = await http.get("/readyz")
        assert (reply.status_code, reply.text) == (503, "the feed starts; database unavailable\n")
        assert (await http.get("/healthz")).text == "ok\n"
    async with serving(readiness=(fine,)) as http:
        assert (await http.get("/readyz")).text == "ready\n"


async def test_metrics_count_answers_and_are_for_this_machine_or_the_secret_key() -> None:
    async with serving() as http:
        await http.get("/rest/v1/who")
        await http.get("/rest/v1/who", headers={"apikey": "wrong"})
        async with connect(socket_url(http)):
            text = (await http.get("/metrics")).text
        passed_on = {"X-Forwarded-For": "203.0.113.5"}
        assert (await http.get("/metrics", headers=passed_on)).status_code == 403
        assert (await http.get("/metrics", headers={**passed_on, "apikey": ""})).status_code == 401
        assert (await http.get("/metrics", headers={**passed_on, "apikey": SECRET})).status_code == 200

    for status in (200, 401, 101):
        assert f'agent_worker_gateway_answers_total{{area="rest",status="{status}"}} 1.0' in text


async def test_only_the_dashboards_own_page_learns_how_to_sign_in() -> None:
    sign_in = SignIn("operator@localhost", JWT_SECRET)
    options = GatewayOptions(dashboard=DashboardConfig(KEYS.publishable, sign_in))
    async with serving(options) as http:
        own = (await http.get("/config.json")).json()
        assert own == {
            "url": "",
            "publishable_key": PUBLISHABLE,
            "sign_in": {"email": "operator@localhost", "password": JWT_SECRET.get_secret_value()},
        }
        for other in (
            {"Origin": "http://localhost:5173"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            assert (await http.get("/config.json", headers=other)).json()["sign_in"] is None
    assert "operator" not in repr(options) or JWT_SECRET.get_secret_value() not in repr(options)


async def test_a_built_dashboard_takes_what_is_left_and_its_scripts_come_from_here_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Tasks</title>")
    (tmp_path / "assets" / "app-1a2b.js").write_text("1")
    (tmp_path.parent / "outside.txt").write_text("secret")
    async with serving(GatewayOptions(dashboard=DashboardConfig(KEYS.publishable, folder=tmp_path))) as http:
        page, script = await http.get("/"), await http.get("/assets/app-1a2b.js")
        assert "Tasks" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert (page.headers["cache-control"], page.headers["x-content-type-options"]) == (
            "no-cache",
            "nosniff",
        )
        assert "immutable" in script.headers["cache-control"]
        assert told(await http.get("/nothing/here")) == (404, "no_route")
        assert told(await http.post("/nothing/here")) == (404, "no_route")
        assert (await http.get("/rest/v1/who")).json()["role"] == "anon"
        assert b"secret" not in await raw(
            str(http.base_url), b"GET /../outside.txt HTTP/1.0\r\nHost: localhost\r\n\r\n"
        )
        with pytest.raises(websockets.InvalidStatus):
            await connect(socket_url(http).replace("rest/v1/echo", "nothing"))


async def test_a_built_file_comes_as_it_was_compressed_and_not_again_while_it_is_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "assets").mkdir()
    page = tmp_path / "index.html"
    page.write_text("<!doctype html><style>p{color:red}</style>")
    script = b"let a = 1;" * 100
    (tmp_path / "assets" / "app-1a2b.js").write_bytes(script)
    (tmp_path / "assets" / "app-1a2b.js.gz").write_bytes(gzip.compress(script))
    (tmp_path / "assets" / "app-1a2b.js.br").write_bytes(b"brotli, which a browser would read")
    async with serving(GatewayOptions(dashboard=DashboardConfig(KEYS.publishable, folder=tmp_path))) as http:

        async def form_of(accepted: str) -> str:
            asked = http.build_request("GET", "/assets/app-1a2b.js", headers={"Accept-Encoding": accepted})
            reply = await http.send(asked, stream=True)
            await reply.aclose()
            assert "Accept-Encoding" in reply.headers["vary"]
            assert reply.headers["content-type"].startswith("text/javascript")
            return str(reply.headers.get("content-encoding", "plain"))

        assert await form_of("gzip, deflate, br;q=0.9") == "br"
        assert await form_of("GZIP, br; q=0.0") == "gzip"
        assert await form_of("deflate") == await form_of("") == "plain"
        reply = await http.get("/assets/app-1a2b.js", headers={"Accept-Encoding": "gzip"})
        assert reply.content == script
        assert told(await http.get("/assets/app-1a2b.js.gz")) == (404, "no_route")

        etag = (await http.get("/")).headers["etag"]
        for known in (etag, f'"other", W/{etag}', "*"):
            again = await http.get("/", headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert (await http.get("/", headers={"If-None-Match": '"other"'})).status_code == 200
        head = await http.head("/")
        assert (head.content, head.headers["content-length"]) == (b"", str(page.stat().st_size))


async def test_a_style_in_the_built_page_is_admitted_by_its_hash_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><style>p{color:red}</style>")
    async with serving(GatewayOptions(dashboard=DashboardConfig(KEYS.publishable, folder=tmp_path))) as http:
        policy = (await http.get("/")).headers["content-security-policy"]
    digest = base64.b64encode(hashlib.sha256(b"p{color:red}").digest()).decode()
    assert f"style-src 'self' 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


# Start and stop


async def test_it_stops_in_seconds_with_sockets_open_and_requests_under_way() -> None:
    async with serving() as http:
        sockets = [await connect(socket_url(http)) for _ in range(20)]
        slow = asyncio.create_task(http.get("/rest/v1/slow"))
        idle = socket.create_connection((http.base_url.host, http.base_url.port or 0))
        assert (await http.get("/healthz")).is_success
        began = time.monotonic()
    took_s = time.monotonic() - began

    assert took_s < 20.0
    for ws in sockets:
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
    with contextlib.suppress(httpx.HTTPError):
        await slow
    idle.close()


async def test_starting_and_stopping_again_and_again_leaves_nothing_behind() -> None:
    before = asyncio.all_tasks()
    for _ in range(10):
        async with serving() as http:
            assert (await http.get("/healthz")).status_code == 200
    assert asyncio.all_tasks() == before


async def test_stopping_twice_or_unstarted_is_fine_and_signals_stay_the_programs() -> None:
    import signal

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    app = create_app(
        GatewayOptions(), door=Door(KEYS, TokenVerifier(jwt_secret=JWT_SECRET)), metrics=Metrics()
    )
    server = GatewayServer(app, host="127.0.0.1", port=0)
    await server.stop()
    await server.start()
    await server.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    await server.stop()
    await server.stop()


async def test_a_taken_port_is_told_with_the_fix() -> None:
    app = create_app(
        GatewayOptions(), door=Door(KEYS, TokenVerifier(jwt_secret=JWT_SECRET)), metrics=Metrics()
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"cannot listen on 127.0.0.1:{port} .* --port"):
            await GatewayServer(app, host="127.0.0.1", port=port).start()


async def test_nothing_logs_a_key(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving() as http:
        await http.get(
            f"/rest/v1/who?apikey={SECRET}", headers={"apikey": "", "Authorization": f"Bearer {token()}"}
        )
        await http.get(f"/rest/v1/bug?apikey={SECRET}")

    ours = [
        record for record in caplog.records if record.name.startswith(("uvicorn", "agent_worker", "fastapi"))
    ]
    assert SECRET not in " ".join(record.getMessage() for record in ours)
