"""Kind `pipeline`: run a worker that a document describes.

Request, with exactly one of `agent` and `definition`:

```json
{
  "agent": "summarise",             slug or id of a stored definition
  "version": 3,                     of it; the newest when none is named, the same one for all attempts
  "definition": {"settings": {…}, "protocol": "…", "prompts": […], "references": […]},
  "workers": {"slug": {…}},         definitions of workers that it calls; of others the stored ones are taken
  "trigger": "user-message",        which one an interactive agent answers
  "input": {"TOPIC": "…"}           values of the definition's inputs, and of the trigger's
}
```

Response: `{"output", "usage": {"llm_calls", "input_tokens", "output_tokens", "total_tokens", "cost_usd"}}`; without
`output` when the definition names none.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task
from agent_worker.llm.prices import has_prices, price
from agent_worker.pipelines.names import PIPELINE
from agent_worker.tools.mcp import McpServers
from agent_worker.tools.mcp_config import McpServerConfig
from agent_worker.tools.registry import Tool, ToolRegistry

if TYPE_CHECKING:
    from agent_worker.pipelines.library import Library
    from agent_worker.pipelines.running.pace import Turns


class PipelineSettings(BaseSettings):
    """What pipelines may use."""

    model_config = SettingsConfigDict(env_prefix="AGENT_WORKER_PIPELINE_", frozen=True)

    tools: str = Field(
        default="",
        description="Python functions that run as tools: package.module:function or name=package.module:function, "
        "separated by commas.",
    )
    tool_urls: dict[str, str] = Field(
        default={},
        description="HTTP endpoints that run as tools, as a JSON object of name and http(s) address.",
    )
    mcp_servers: dict[str, McpServerConfig] = Field(
        default={},
        description='MCP servers, as a JSON object of name and {"url", "headers"} or {"command", "args", "env"}.',
    )
    mcp_timeout_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="Seconds one call of an MCP server's tool may take, connecting included; at most 3600.",
    )
    timeout_s: int = Field(
        default=3600,
        ge=1,
        le=86_400,
        description="Seconds one attempt may take when the task names none, 1 to 86400.",
    )


class Pipeline:
    """Run a definition's steps; what has finished is never run again."""

    kind = PIPELINE
    # What people fill in stands above; programs may send the definition itself.
    payload_schema: ClassVar[JsonObject] = {
        "type": "object",
        "properties": {
            "agent": {"type": "string", "minLength": 1, "description": "Slug or id of a stored definition."},
            "input": {"type": "object", "description": "Values of its inputs, by name."},
            "trigger": {
                "type": "string",
                "minLength": 1,
                "description": "Of an interactive agent, which one.",
            },
            "version": {"type": "integer", "minimum": 1, "description": "Left out, the newest."},
        },
        "oneOf": [
            {"required": ["agent"]},
            {
                "required": ["definition"],
                "properties": {"definition": {"type": "object"}, "workers": {"type": "object"}},
            },
        ],
    }

    def __init__(self, settings: PipelineSettings) -> None:
        self.timeout_s = settings.timeout_s
        self.tools = ToolRegistry(tuple(_tools(settings)))
        self.mcp = McpServers(settings.mcp_servers, timeout_s=settings.mcp_timeout_s)
        self._opening = asyncio.Lock()
        self._is_open = False

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        """Read the definition and run it, or go on with it.

        Raises:
            InvalidPayload: The definition or the input is wrong; names the JSON path.
            ProcessorError: A step failed, or a limit is reached.
        """
        # The first pipeline imports the room; it takes 10 MiB, and most workers never need it.
        async with self._opening:
            if not self._is_open:
                await asyncio.to_thread(importlib.import_module, "agent_worker.pipelines.running.runner")
                self._is_open = True
        from agent_worker.pipelines.running.execution import Surroundings  # noqa: PLC0415
        from agent_worker.pipelines.running.runner import run_pipeline  # noqa: PLC0415
        from agent_worker.pipelines.running.triggers import to_run  # noqa: PLC0415

        payload = task.request_payload
        given = payload.get("input")
        if given is not None and not isinstance(given, Mapping):
            raise InvalidPayload("must be an object", path="$.input")
        named = _named(payload)
        library = self._library
        inline = {
            slug: await library.read_inline(body, f"$.workers.{slug}")
            for slug, body in _workers(payload).items()
        }
        what = await library.read_inline(payload["definition"], "$.definition") if named is None else named
        loaded = await library.load(ctx, what, inline)
        definition = to_run(loaded.definition, payload.get("trigger"))
        result = await run_pipeline(
            definition,
            given or {},
            task=task,
            ctx=ctx,
            around=Surroundings(
                self.tools, loaded.workers, images=ctx.images, mcp=self.mcp, turns=self._turns
            ),
            price=price if has_prices() else None,
            pins=loaded.pins,
        )
        response: dict[str, JsonValue] = {"usage": result.used.as_json()}
        if definition.output is not None or definition.settings.format == "interactive":
            response["output"] = result.output
        return response

    async def close(self) -> None:
        """Leave the MCP servers."""
        await self.mcp.close()

    @cached_property
    def _turns(self) -> Turns:
        from agent_worker.pipelines.running.pace import Turns  # noqa: PLC0415

        return Turns()

    @cached_property
    def _library(self) -> Library:
        from agent_worker.pipelines.library import Library  # noqa: PLC0415

        return Library()


def _tools(settings: PipelineSettings) -> Iterator[Tool]:
    """Load the tools that are set; where none are, nothing is imported."""
    if settings.tools.strip():
        from agent_worker.tools.function import load_function  # noqa: PLC0415

        yield from (load_function(path.strip()) for path in settings.tools.split(",") if path.strip())
    if settings.tool_urls:
        from agent_worker.tools.http import HttpTool  # noqa: PLC0415

        yield from (HttpTool(name, url) for name, url in settings.tool_urls.items())


def _named(payload: JsonObject) -> tuple[str, int | None] | None:
    """Return the stored definition that the request names, and which version of it; None when it brings one along."""
    agent, version = payload.get("agent"), payload.get("version")
    if (agent is None) == (payload.get("definition") is None):
        raise InvalidPayload("must name an agent or bring a definition, one of the two")
    if agent is None:
        if version is not None:
            raise InvalidPayload("is of stored definitions; this request brings one along", path="$.version")
        return None
    if not isinstance(agent, str) or not agent:
        raise InvalidPayload("must be the slug or id of a stored definition", path="$.agent")
    if version is not None and (isinstance(version, bool) or not isinstance(version, int)):
        raise InvalidPayload("must be a whole number", path="$.version")
    return agent, version


def _workers(payload: JsonObject) -> JsonObject:
    from agent_worker.pipelines.library import MOST_WORKERS  # noqa: PLC0415

    workers = payload.get("workers")
    if workers is None:
        return {}
    if not isinstance(workers, Mapping) or len(workers) > MOST_WORKERS:
        raise InvalidPayload(f"must be an object of at most {MOST_WORKERS} definitions", path="$.workers")
    return workers
