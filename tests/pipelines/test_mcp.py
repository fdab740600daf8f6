"""Tools of MCP servers in a run: by a model, by a step, by a worker inside, and in a replay."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent_worker.domain.errors import ConfigurationError, ProcessorError
from agent_worker.llm.models import Models
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.settings import read
from agent_worker.testing.context import FakeContext
from agent_worker.testing.openai_server import ScriptedOpenAI, Text, ToolCall
from agent_worker.tools.mcp import McpServers
from agent_worker.tools.mcp_config import McpHttp, McpStdio
from tests.pipelines.running import check_leg, data, failing_task, run
from tests.pipelines.sources import definition
from tests.pipelines.test_durably import payload
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker

ROOT = Path(__file__).parents[2]
THREAD = """
input:
  TOPIC: {type: string}
variables:
  A: {type: unknown}
mcpServers:
  shop: {description: The shop, source: SOURCE, display: name}
steps:
  Open:
    block: start-thread
    thread: t
    model: openai/first
    system: system
    maxSteps: 3
    TOOLS
  Ask: {block: add-message, thread: t, role: user, prompt: ask, input: [TOPIC]}
  Answer: {block: next-message, thread: t, output: A}
output: A
"""
STEP = """
input:
  TOPIC: {type: string}
variables:
  A: {type: unknown}
mcpServers:
  shop: {description: The shop, source: remote}
steps:
  Look: {block: tool-call, tool: shop__TOOL, input: {INPUT}, output: A}
output: A
"""


def thread(tools: str = "mcpServers: [shop]", source: str = "remote") -> Any:
    return definition(THREAD.replace("TOOLS", tools).replace("SOURCE", source))


def step(tool: str, given: str) -> str:
    return STEP.replace("shop__TOOL", f"shop__{tool}").replace("INPUT", given)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "shop.jsonl"


@pytest.fixture
def program(log: Path) -> dict[str, Any]:
    env = {"SHOP_LOG": str(log), "PYTHONPATH": str(ROOT)}
    return {"command": sys.executable, "args": ["-m", "tests.tools.mcp_shop"], "env": env}


@pytest.fixture
async def shop(program: dict[str, Any]) -> AsyncIterator[McpServers]:
    servers = McpServers({"shop": McpStdio.model_validate(program)}, timeout_s=30)
    yield servers
    await servers.close()


@pytest.mark.parametrize("tools", ["mcpServers: [shop]", "tools: [shop__find_order]"])
async def test_a_model_calls_a_servers_tool(
    server: ScriptedOpenAI, models: Models, shop: McpServers, log: Path, tools: str
) -> None:
    server.script(ToolCall("shop__find_order", {"number": 7}), Text("It is tea."))
    ctx = FakeContext(failing_task(), models=models.get)
    result, _ = await run(thread(tools), {"TOPIC": "7"}, ctx=ctx, mcp=shop)
    assert result.output == "It is tea."
    offered: Any = server.requests[0].body["tools"]
    names = [each["function"]["name"] for each in offered]
    assert ("shop__greet" in names) == ("mcpServers" in tools)
    told: Any = server.requests[1].body["messages"]
    assert json.loads(told[-1]["content"]) == {"number": 7, "items": ["tea", "cups"]}
    key = json.loads(log.read_text().splitlines()[-1])["key"]
    assert key.startswith(f"{ctx.task.id}:")
    assert data(ctx, "tool-input-start")[0]["display"] == ("name")
    check_leg(ctx.events)


async def test_a_model_reads_what_was_wrong_with_a_call(
    server: ScriptedOpenAI, models: Models, shop: McpServers
) -> None:
    server.script(ToolCall("shop__find_order", {"number": "seven"}), ToolCall("shop__fail"), Text("Sorry."))
    ctx = FakeContext(failing_task(), models=models.get)
    result, _ = await run(thread(), {"TOPIC": "7"}, ctx=ctx, mcp=shop)
    assert result.output == "Sorry."
    wrong, failed = (each["error"] for each in data(ctx, "tool-output-error"))
    assert "do not fit" in wrong
    assert "Error executing tool fail" in failed


async def test_a_step_calls_a_servers_tool(shop: McpServers) -> None:
    result, ctx = await run(definition(step("greet", "name: TOPIC")), {"TOPIC": "Ann"}, mcp=shop)
    assert result.output == "Hello, Ann"
    check_leg(ctx.events)


async def test_a_step_whose_tool_the_server_has_not_fails(shop: McpServers) -> None:
    ctx = FakeContext(failing_task())
    with pytest.raises(ProcessorError, match="no tool 'shop__gone'") as caught:
        await run(definition(step("gone", "")), {"TOPIC": "x"}, mcp=shop, ctx=ctx)
    assert (caught.value.code, caught.value.retryable) == ("tool_failed", False)


async def test_a_server_that_is_away_is_a_tool_error_worth_another_attempt() -> None:
    away = McpServers({"shop": McpHttp(url="http://127.0.0.1:9/mcp")})
    with pytest.raises(ProcessorError) as caught:
        await run(
            definition(step("greet", "name: TOPIC")),
            {"TOPIC": "x"},
            mcp=away,
            ctx=FakeContext(failing_task()),
        )
    assert (caught.value.code, caught.value.retryable) == ("tool_failed", True)
    await away.close()


async def test_a_replay_gives_the_model_the_tools_that_it_had(
    server: ScriptedOpenAI, models: Models, shop: McpServers
) -> None:
    server.script(ToolCall("shop__find_order", {"number": 7}))
    server.script(Text("", finish_reason=None), Text("It is tea."))
    ctx = FakeContext(failing_task(attempts=3), models=models.get)
    with pytest.raises(ProcessorError):
        await run(thread(), {"TOPIC": "7"}, ctx=ctx, mcp=shop)
    # The server has gone, and its tools and the call that was made are still there.
    away = McpServers({"shop": McpHttp(url="http://127.0.0.1:9/mcp")})
    result, _ = await run(thread(), {"TOPIC": "7"}, ctx=ctx.again(), mcp=away)
    assert result.output == "It is tea."
    assert server.requests[-1].body["tools"] == server.requests[0].body["tools"]
    await away.close()


@pytest.mark.parametrize(
    ("source", "reason"),
    [("device", "is the device's"), ("consumer", "is the consumer's"), ("remote", "No MCP server 'shop'")],
)
async def test_a_server_that_a_worker_cannot_reach_is_refused_when_the_thread_starts(
    source: str, reason: str
) -> None:
    with pytest.raises(ProcessorError, match=reason) as caught:
        await run(thread(source=source), {"TOPIC": "x"}, ctx=FakeContext(failing_task()))
    assert (caught.value.code, caught.value.retryable) == ("unsupported", False)


async def test_a_worker_inside_calls_a_tool_that_its_caller_lends_it(shop: McpServers) -> None:
    inner = definition("""
tools:
  hello: {description: Greets, parameters: {name: {type: string}}}
input:
  WHO: {type: string}
variables:
  A: {type: unknown}
steps:
  Greet: {block: tool-call, tool: hello, input: {name: WHO}, output: A}
output: A
""")
    outer = definition("""
input:
  TOPIC: {type: string}
variables:
  A: {type: unknown}
mcpServers:
  shop: {description: The shop, source: remote}
workers:
  inner: {description: Greets, tools: {hello: shop__greet}}
steps:
  Call: {block: run-worker, worker: inner, input: {WHO: TOPIC}, output: A}
output: A
""")
    result, _ = await run(outer, {"TOPIC": "Ann"}, library={"inner": inner}, mcp=shop)
    assert result.output == "Hello, Ann"


async def test_an_eager_server_is_connected_though_nobody_has_called_it(shop: McpServers, log: Path) -> None:
    protocol = """
variables:
  A: {type: unknown}
mcpServers:
  shop: {description: The shop, source: remote, connection: CONNECTION}
steps:
  Set: {block: set-variable, variable: A, value: done}
output: A
"""

    async def has_started() -> bool:
        return log.exists() and "started" in log.read_text()

    await run(definition(protocol.replace("CONNECTION", "lazy")), mcp=shop)
    assert not await has_started()
    await run(definition(protocol.replace("CONNECTION", "eager")), mcp=shop)
    await eventually(has_started)


async def test_a_worker_that_stops_ends_its_servers(
    start_worker: StartWorker,
    rows: Rows,
    program: dict[str, Any],
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_WORKER_PIPELINE_MCP_SERVERS", json.dumps({"shop": program}))
    async with start_worker(Pipeline(read(PipelineSettings))):
        task_id = await rows.insert("pipeline", payload(step("greet", "name: TOPIC"), {"TOPIC": "Ann"}))
        task = await rows.reaches(task_id, "completed")
        assert task["response_payload"]["output"] == "Hello, Ann"
        pid = json.loads(log.read_text())["pid"]
        os.kill(pid, 0)

    async def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    await eventually(is_gone)


def test_servers_without_the_sdk_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    McpServers({})
    with pytest.raises(ConfigurationError, match=r"pip install 'agent-worker\[pipelines\]'"):
        McpServers({"shop": McpStdio(command="x")})


@pytest.mark.parametrize(
    "wrong",
    [
        '{"shop": {"url": "https://x", "headers": {"a": "hush"}',
        '{"shop": {"url": "nowhere/hush"}}',
        '{"shop": {"url": "https://x", "headers": {"a": ["hush"]}}}',
        '{"shop": {"command": "x", "env": "hush"}}',
        '["hush"]',
    ],
)
def test_servers_that_are_not_set_right_are_named_without_their_secrets(
    wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_WORKER_PIPELINE_MCP_SERVERS", wrong)
    with pytest.raises(ConfigurationError) as caught:
        read(PipelineSettings)
    assert "mcp_servers" in str(caught.value).lower()
    assert "hush" not in str(caught.value)


async def test_branches_side_by_side_ask_a_server_for_its_tools_and_find_the_same(
    start_worker: StartWorker,
    rows: Rows,
    program: dict[str, Any],
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_WORKER_PIPELINE_MCP_SERVERS", json.dumps({"shop": program}))
    protocol = """
input:
  LIST: {type: "string[]"}
variables:
  A: {type: unknown}
  B: {type: unknown}
mcpServers:
  shop: {description: The shop, source: remote}
steps:
  Each:
    block: for-each
    in: LIST
    as: NAME
    concurrency: 4
    output: A
    steps:
      Greet: {block: tool-call, tool: shop__greet, input: {name: NAME}, output: B}
output: A
"""
    async with start_worker(Pipeline(read(PipelineSettings))):
        task_id = await rows.insert("pipeline", payload(protocol, {"LIST": list("abcdefgh")}))
        task = await rows.reaches(task_id, "completed", timeout_s=30)
    assert task["response_payload"]["output"] == [f"Hello, {name}" for name in "abcdefgh"]
    assert log.read_text().count("started") == 1
