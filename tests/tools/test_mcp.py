"""MCP servers, by a real one over both transports: what its tools answer, and what happens when it does not."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from pydantic import TypeAdapter, ValidationError

from agent_worker.tools.mcp import McpServers
from agent_worker.tools.mcp_config import McpHttp, McpServerConfig, McpStdio
from agent_worker.tools.registry import ToolError

SERVER = ("-m", "tests.tools.mcp_shop")
ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
"""For a program to start on a machine that is busy with others."""


class Shop(Protocol):
    """Makes servers of both kinds, and reads what they noted."""

    async def open(self, way: str, *, timeout_s: float = PATIENCE_S, **env: str) -> McpServers: ...

    def noted(self, what: str) -> list[dict[str, Any]]: ...


@contextmanager
def over_http(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(
        [sys.executable, *SERVER, "http"],
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    log = tmp_path / "shop.jsonl"
    log.touch()
    opened: list[McpServers] = []
    running = []

    class _Shop:
        async def open(self, way: str, *, timeout_s: float = PATIENCE_S, **env: str) -> McpServers:
            wanted = {"SHOP_LOG": str(log), **env}
            config: McpHttp | McpStdio
            if way == "stdio":
                config = McpStdio(
                    command=sys.executable, args=SERVER, env={**wanted, "PYTHONPATH": str(ROOT)}
                )
            else:
                context = over_http(wanted)
                running.append(context)
                _, port = await asyncio.to_thread(context.__enter__)
                config = McpHttp(url=f"http://127.0.0.1:{port}/mcp", headers={"x-key": "hush"})
            opened.append(McpServers({"shop": config}, timeout_s=timeout_s))
            return opened[-1]

        def noted(self, what: str) -> list[dict[str, Any]]:
            lines = map(json.loads, log.read_text().splitlines())
            return [line for line in lines if line["what"] == what]

    yield _Shop()
    for servers in opened:
        await servers.close()
    for context in running:
        context.__exit__(None, None, None)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@contextmanager
def hurried(servers: McpServers) -> Iterator[None]:
    """Give calls two seconds during the block: enough for none that waits, too little to start a program."""
    patient_s, servers._timeout_s = servers._timeout_s, 2.0
    yield
    servers._timeout_s = patient_s


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


both = pytest.mark.parametrize("way", ["stdio", "http"])


@both
async def test_tools_have_the_servers_name_before_theirs_and_their_schema(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    tools = {tool.name: tool for tool in await servers.tools("shop")}
    assert tools["shop__find_order"].original == "find_order"
    assert tools["shop__find_order"].description == "Find an order by its number."
    properties: Any = tools["shop__find_order"].parameters["properties"]
    assert properties["number"]["type"] == "integer"


@both
async def test_data_text_and_pictures_become_json_and_the_key_goes_along(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    found = await servers.call("shop", "find_order", {"number": 7}, idempotency_key="run:block:1")
    assert found == {"number": 7, "items": ["tea", "cups"]}
    assert shop.noted("find_order")[0]["key"] == "run:block:1"
    assert await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k") == "Hello, Ann"
    assert await servers.call("shop", "photograph", {}, idempotency_key="k") == [
        {"type": "text", "text": "the front"},
        {"type": "image", "data": "iVBORw==", "mimeType": "image/png"},
    ]


@both
async def test_calls_share_one_session(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    calls = [servers.call("shop", "find_order", {"number": n}, idempotency_key="k") for n in range(8)]
    found: Any = await asyncio.gather(*calls)
    assert [each["number"] for each in found] == list(range(8))
    assert len(shop.noted("started")) == 1


@both
async def test_what_a_tool_says_of_its_failure_is_told(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    with pytest.raises(ToolError, match="Error executing tool fail"):
        await servers.call("shop", "fail", {}, idempotency_key="k")
    with pytest.raises(ToolError, match="Unknown tool"):
        await servers.call("shop", "gone", {}, idempotency_key="k")


@both
async def test_a_server_that_dies_in_a_call_fails_that_call_and_is_found_again(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    with pytest.raises(ToolError) as caught:
        await servers.call("shop", "die", {}, idempotency_key="k")
    assert (caught.value.code, caught.value.retryable) == ("tool_failed", True)
    if way == "stdio":
        assert await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k") == "Hello, Ann"
        assert len(shop.noted("started")) == 2


async def test_a_program_that_dies_between_two_calls_is_started_again_unnoticed(shop: Shop) -> None:
    servers = await shop.open("stdio")
    await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k")
    pid = shop.noted("started")[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not is_running(pid))
    assert await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k") == "Hello, Ann"


async def test_a_server_that_comes_back_at_its_address_is_called_again(tmp_path: Path) -> None:
    env = {"SHOP_LOG": str(tmp_path / "log")}
    with over_http(env) as (process, port):
        servers = McpServers({"shop": McpHttp(url=f"http://127.0.0.1:{port}/mcp")}, timeout_s=PATIENCE_S)
        await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k")
        process.kill()
        process.wait()
        with pytest.raises(ToolError):
            await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k")
    with over_http({**env, "SHOP_PORT": str(port)}):

        async def greeted() -> object:
            return await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k")

        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                assert await greeted() == "Hello, Ann"
                break
            except ToolError:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
    await servers.close()


@both
async def test_a_call_that_takes_too_long_fails_and_the_server_is_told(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    await servers.tools("shop")
    with hurried(servers), pytest.raises(ToolError, match="longer than 2 s"):
        await servers.call("shop", "sleep", {"seconds": 600}, idempotency_key="k")
    await until(lambda: bool(shop.noted("cancelled")))
    assert await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k") == "Hello, Ann"
    assert len(shop.noted("started")) == 1


@both
async def test_a_task_that_is_cancelled_takes_its_call_along(shop: Shop, way: str) -> None:
    servers = await shop.open(way)
    task = asyncio.create_task(servers.call("shop", "sleep", {"seconds": 60}, idempotency_key="k"))
    await until(lambda: bool(shop.noted("sleeping")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: bool(shop.noted("cancelled")))


async def test_a_program_that_serves_nobody_any_more_is_replaced(shop: Shop) -> None:
    servers = await shop.open("stdio")
    await servers.tools("shop")
    with hurried(servers), pytest.raises(ToolError, match="longer than"):
        await servers.call("shop", "freeze", {"seconds": 600}, idempotency_key="k")
    first = shop.noted("started")[0]["pid"]
    assert await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k") == "Hello, Ann"
    assert len(shop.noted("started")) > 1
    await until(lambda: not is_running(first))


@both
@pytest.mark.parametrize("size", [5_000_000, 40_000_000])
async def test_a_result_without_measure_is_a_failed_call(shop: Shop, way: str, size: int) -> None:
    servers = await shop.open(way)
    with pytest.raises(ToolError):
        await servers.call("shop", "flood", {"size": size}, idempotency_key="k")
    assert await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k") == "Hello, Ann"


@both
async def test_tools_that_no_model_could_be_given_are_left_out(shop: Shop, way: str) -> None:
    servers = await shop.open(way, SHOP_ODD="1")
    with structlog.testing.capture_logs() as logs:
        names = {tool.name for tool in await servers.tools("shop")}
    assert {"shop__greet", "shop__dotted_name"} <= names
    left_out = {each["tool"] for each in logs if each["event"] == "mcp.tool_left_out"}
    assert left_out == {"no-schema", "elsewhere", "endless", "n" * 64}
    assert not {f"shop__{name}" for name in left_out} & names


@both
async def test_an_answer_that_breaks_the_tools_own_promise_is_a_failed_call(shop: Shop, way: str) -> None:
    servers = await shop.open(way, SHOP_ODD="1")
    await servers.tools("shop")
    with pytest.raises(ToolError, match="its schema does not allow") as caught:
        await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (McpHttp(url="http://127.0.0.1:9/mcp"), "ConnectError"),
        (McpStdio(command="/nowhere/to/be/found"), "FileNotFoundError"),
        (McpStdio(command=sys.executable, args=("-c", "pass")), "MCPError"),
    ],
)
async def test_a_server_that_is_away_is_a_failed_call_worth_another_try(
    config: McpHttp | McpStdio, reason: str
) -> None:
    servers = McpServers({"gone": config})
    with pytest.raises(ToolError, match=reason) as caught:
        await servers.tools("gone")
    assert (caught.value.code, caught.value.retryable) == ("tool_failed", True)
    with pytest.raises(ToolError, match="a moment ago"):
        await servers.call("gone", "any", {}, idempotency_key="k")
    await servers.close()


async def test_a_refused_key_is_told_by_its_status_and_never_by_its_value(shop: Shop) -> None:
    servers = await shop.open("http", SHOP_KEY="another")
    with structlog.testing.capture_logs() as logs, pytest.raises(ToolError, match="HTTP 401") as caught:
        await servers.tools("shop")
    assert "hush" not in f"{logs}{caught.value}"


async def test_a_program_sees_no_secret_of_the_worker(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    servers = await shop.open("stdio")
    names = str(await servers.call("shop", "environment", {}, idempotency_key="k")).split(",")
    assert "SHOP_LOG" in names
    assert "DATABASE_URL" not in names


async def test_closing_ends_the_programs_and_refuses_what_comes_later(shop: Shop) -> None:
    servers = await shop.open("stdio")
    servers.warm("shop")
    await until(lambda: bool(shop.noted("started")))
    await servers.tools("shop")
    await servers.close()
    await until(lambda: not is_running(shop.noted("started")[0]["pid"]))
    with pytest.raises(ToolError, match="worker stops"):
        await servers.call("shop", "greet", {"name": "Ann"}, idempotency_key="k")
    await servers.close()


async def test_a_program_that_never_answers_is_a_failed_call_also_when_the_worker_stops_meanwhile(
    tmp_path: Path,
) -> None:
    begun = tmp_path / "begun"
    mute = McpStdio(
        command=sys.executable,
        args=("-c", f"import pathlib, sys; pathlib.Path({str(begun)!r}).touch(); sys.stdin.read()"),
    )
    servers = McpServers({"mute": mute}, timeout_s=1)
    with pytest.raises(ToolError, match="longer than 1 s"):
        await servers.tools("mute")
    await asyncio.to_thread(begun.unlink, missing_ok=True)
    patient = McpServers({"mute": mute}, timeout_s=60)
    call = asyncio.create_task(patient.call("mute", "any", {}, idempotency_key="k"))
    await until(begun.exists)
    await patient.close()
    with pytest.raises(ToolError, match="was left before it had answered"):
        await call
    await servers.close()


async def test_a_list_of_tools_is_asked_for_once_a_minute(shop: Shop) -> None:
    now = [0.0]
    opened = await shop.open("stdio")
    servers = McpServers(opened._configs, clock=lambda: now[0])
    first = await servers.tools("shop")
    now[0] = 59.0
    assert await servers.tools("shop") is first
    now[0] = 61.0
    assert await servers.tools("shop") is not first
    await servers.close()


def test_secrets_of_a_server_are_in_no_text_that_is_made_of_it() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(dict[str, McpServerConfig])
    read = adapter.validate_python(
        {
            "web": {"url": "https://u:hush@mcp.example/key/hush", "headers": {"authorization": "hush"}},
            "program": {"command": "npx", "args": ["--key", "hush"], "env": {"KEY": "hush"}},
        }
    )
    assert "hush" not in f"{read!r} {read}"
    assert "mcp.example" in repr(read)


@pytest.mark.parametrize(
    "wrong", [{"url": "ftp://x"}, {"url": "https:///x"}, {"command": ""}, {}, {"url": "https://x", "more": 1}]
)
def test_a_server_that_nobody_could_reach_is_refused_at_the_start(wrong: dict[str, Any]) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(McpServerConfig)
    with pytest.raises(ValidationError):
        adapter.validate_python(wrong)


def test_a_worker_without_servers_imports_no_sdk() -> None:
    script = "import sys, agent_worker.processors.pipeline, agent_worker.pipelines.running.runner; print('mcp' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert out.strip() == "False"
