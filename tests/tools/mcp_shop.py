"""A server of tools by the SDK's own hand: `python -m tests.tools.mcp_shop [http]`; over HTTP it prints its port.

What is called is written to the file that SHOP_LOG names, one JSON object a line, and so is each start.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.types import Tool
from pydantic import BaseModel, Field

server = MCPServer("shop")


class Order(BaseModel):
    number: int
    items: list[str]


def note(what: str, **more: Any) -> None:
    with Path(os.environ["SHOP_LOG"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps({"what": what, "pid": os.getpid(), **more}) + "\n")


@server.tool()
def find_order(number: Annotated[int, Field(description="On the letter.")], ctx: Context) -> Order:
    """Find an order by its number."""
    meta = ctx.request_context.meta or {}
    note("find_order", key=dict(meta).get("agent-worker/idempotency-key"))
    return Order(number=number, items=["tea", "cups"])


@server.tool(structured_output=False)
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Hello, {name}"


@server.tool(structured_output=False)
def photograph() -> list[Any]:
    """Take a picture of the shop."""
    return ["the front", Image(data=b"\x89PNG", format="png")]


@server.tool(structured_output=False)
def fail() -> str:
    """Fail."""
    raise LookupError("the shelf is empty")


@server.tool(structured_output=False)
async def sleep(seconds: float) -> str:
    """Take time."""
    note("sleeping")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note("cancelled")
        raise
    return "rested"


@server.tool(structured_output=False)
async def freeze(seconds: float) -> str:
    """Let nobody else be served."""
    note("freezing")
    time.sleep(seconds)  # noqa: ASYNC251 - on purpose
    return "thawed"


@server.tool(structured_output=False)
def die() -> str:
    """End the whole server in the middle of a call."""
    os._exit(3)


@server.tool(structured_output=False)
def flood(size: int) -> str:
    """Answer at length."""
    return "x" * size


@server.tool(structured_output=False)
def environment() -> str:
    """Tell the names in the environment."""
    return ",".join(sorted(os.environ))


def odd_tools() -> list[Tool]:
    """Return tools whose descriptions no model could be given."""
    schemas: dict[str, dict[str, Any]] = {
        "no-schema": {"type": "object", "properties": {"a": {"type": "nonsense"}}},
        "elsewhere": {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        "endless": {"type": "object", "description": "y" * 70_000},
        "n" * 70: {"type": "object"},
        "dotted.name": {"type": "object"},
    }
    return [Tool(name=name, input_schema=schema) for name, schema in schemas.items()]


def make_odd() -> None:
    """List odd tools beside the others, and promise of one what it does not keep."""
    listed = server.list_tools

    async def list_tools(*args: Any, **kwargs: Any) -> list[Tool]:
        tools = await listed(*args, **kwargs)
        promised = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
        for tool in tools:
            tool.output_schema = promised if tool.name == "greet" else tool.output_schema
        return [*tools, *odd_tools()]

    server.list_tools = list_tools  # type: ignore[method-assign]


def main() -> None:
    note("started")
    if os.environ.get("SHOP_ODD"):
        make_odd()
    if "http" not in sys.argv[1:]:
        server.run("stdio")
        return
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("SHOP_PORT", "0"))))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    app = server.streamable_http_app(json_response=bool(os.environ.get("SHOP_JSON")))
    key = os.environ.get("SHOP_KEY")

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and key:
            given = dict(scope["headers"]).get(b"x-key", b"").decode()
            if given != key:
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    config = uvicorn.Config(guarded, log_level="error", lifespan="on")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
