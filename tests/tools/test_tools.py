"""Functions and HTTP endpoints as tools: what goes in, what comes out, and what a failure says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pydantic
import pytest

from agent_worker.domain.errors import ConfigurationError
from agent_worker.tools.function import FunctionTool, load_function
from agent_worker.tools.http import HttpTool
from agent_worker.tools.registry import ToolError, ToolRegistry


class Place(pydantic.BaseModel):
    town: str
    deep: bool = False


def find_place(name: str, limit: int = 3) -> list[Place]:
    """Find a place."""
    if name == "nowhere":
        raise LookupError(name)
    return [Place(town=name)] * limit


async def pay(amount: float, *, idempotency_key: str) -> str:
    return f"{amount:g} under {idempotency_key}"


async def test_a_signature_is_the_schema_and_what_is_returned_becomes_json() -> None:
    tool = FunctionTool(find_place)
    assert tool.name == "find-place"
    assert tool.parameters["required"] == ["name"]
    assert await tool.call({"name": "Ulm", "limit": 1}, idempotency_key="k") == [
        {"town": "Ulm", "deep": False}
    ]


async def test_a_function_that_asks_for_the_key_gets_it_and_no_caller_can_give_it() -> None:
    tool = FunctionTool(pay)
    assert await tool.call({"amount": 2}, idempotency_key="run:block:1") == "2 under run:block:1"
    assert "idempotency_key" not in tool.parameters["properties"]  # type: ignore[operator]
    with pytest.raises(ToolError):
        await tool.call({"amount": 2, "idempotency_key": "mine"}, idempotency_key="run:block:1")


@pytest.mark.parametrize("arguments", [{}, {"name": "Ulm", "more": 1}, {"name": "Ulm", "limit": "many"}])
async def test_arguments_that_do_not_fit_are_not_worth_a_second_try(arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolError) as caught:
        await FunctionTool(find_place).call(arguments, idempotency_key="k")
    assert (caught.value.code, caught.value.retryable) == ("invalid_arguments", False)


async def test_a_function_that_raises_is_a_tool_that_failed_and_its_message_stays_in_the_log() -> None:
    with pytest.raises(ToolError, match="failed with LookupError") as caught:
        await FunctionTool(find_place).call({"name": "nowhere"}, idempotency_key="k")
    assert caught.value.code == "tool_failed"
    assert "nowhere" not in str(caught.value)


def test_a_function_is_loaded_by_its_path_under_any_name() -> None:
    assert load_function("tests.tools.test_tools:find_place").name == "find-place"
    assert load_function("search=tests.tools.test_tools:find_place").name == "search"
    with pytest.raises(ConfigurationError, match=r"package\.module:function"):
        load_function("tests.tools.test_tools:gone")


def test_a_function_without_names_for_its_arguments_is_refused() -> None:
    def anything(*parts: str) -> str:
        return "".join(parts)

    with pytest.raises(ConfigurationError, match="cannot be a tool"):
        FunctionTool(anything)


def test_two_tools_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match="two tools"):
        ToolRegistry((FunctionTool(pay), HttpTool("pay", "http://127.0.0.1/")))


class Endpoint(BaseHTTPRequestHandler):
    """Answers what the path says."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status = int(self.path.strip("/").partition("-")[0])
        said = {"got": body, "key": self.headers["idempotency-key"]}
        content = b"" if self.path.endswith("-empty") else json.dumps(said).encode()
        content = b"<html>" if self.path.endswith("-html") else content
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_endpoint_gets_the_arguments_and_the_key(url: str) -> None:
    result = await HttpTool("find", f"{url}/200").call({"what": "sea"}, idempotency_key="run:block:1")
    assert result == {"got": {"tool": "find", "arguments": {"what": "sea"}}, "key": "run:block:1"}
    assert await HttpTool("find", f"{url}/204-empty").call({}, idempotency_key="k") is None


@pytest.mark.parametrize(
    ("path", "retryable"), [("500", True), ("429", True), ("400", False), ("200-html", True)]
)
async def test_an_endpoint_that_fails_is_a_tool_that_failed(url: str, path: str, retryable: bool) -> None:
    with pytest.raises(ToolError) as caught:
        await HttpTool("find", f"{url}/{path}").call({}, idempotency_key="k")
    assert caught.value.retryable is retryable


async def test_nobody_at_the_address_is_a_tool_that_failed() -> None:
    with pytest.raises(ToolError, match="did not answer"):
        await HttpTool("find", "http://127.0.0.1:1/").call({}, idempotency_key="k")
