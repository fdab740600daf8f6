"""Kind `pipeline`: run a worker that a document describes.

Request:

```json
{
  "definition": {"settings": {…}, "protocol": "…", "prompts": […], "references": […]},
  "input": {"TOPIC": "…"},          values of the definition's inputs
  "workers": {"slug": {…}}          definitions of workers that it calls with run-worker
}
```

Response: `{"output", "usage": {"llm_calls", "input_tokens", "output_tokens", "total_tokens", "cost_usd"}}`; without
`output` when the definition names none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task
from agent_worker.tools.registry import Tool, ToolRegistry

if TYPE_CHECKING:
    from agent_worker.pipelines.definition.document import Definition

MOST_WORKERS = 20


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
    timeout_s: int = Field(
        default=3600,
        ge=1,
        le=86_400,
        description="Seconds one attempt may take when the task names none, 1 to 86400.",
    )


class Pipeline:
    """Run a definition's steps; what has finished is never run again."""

    kind = "pipeline"

    def __init__(self, settings: PipelineSettings) -> None:
        self.timeout_s = settings.timeout_s
        self.tools = ToolRegistry(tuple(_tools(settings)))

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        """Read the definition and run it, or go on with it.

        Raises:
            InvalidPayload: The definition or the input is wrong; names the JSON path.
            ProcessorError: A step failed, or a limit is reached.
        """
        # The first pipeline imports the room; it takes 10 MiB, and most workers never need it.
        from agent_worker.pipelines.execution import Surroundings  # noqa: PLC0415
        from agent_worker.pipelines.runner import run_pipeline  # noqa: PLC0415

        payload = task.request_payload
        given = payload.get("input")
        if given is not None and not isinstance(given, Mapping):
            raise InvalidPayload("must be an object", path="$.input")
        definition, library = await asyncio.to_thread(_read, payload)
        result = await run_pipeline(
            definition,
            given or {},
            task=task,
            ctx=ctx,
            around=Surroundings(self.tools, library),
        )
        response: dict[str, JsonValue] = {"usage": result.used.as_json()}
        if definition.output is not None:
            response["output"] = result.output
        return response


def _tools(settings: PipelineSettings) -> Iterator[Tool]:
    """Load the tools that are set; where none are, nothing is imported."""
    if settings.tools.strip():
        from agent_worker.tools.function import load_function  # noqa: PLC0415

        yield from (load_function(path.strip()) for path in settings.tools.split(",") if path.strip())
    if settings.tool_urls:
        from agent_worker.tools.http import HttpTool  # noqa: PLC0415

        yield from (HttpTool(name, url) for name, url in settings.tool_urls.items())


def _read(payload: JsonObject) -> tuple[Definition, dict[str, Definition]]:
    from agent_worker.pipelines.reading.wire import read_wire  # noqa: PLC0415
    from agent_worker.pipelines.validation import load  # noqa: PLC0415

    if "definition" not in payload:
        raise InvalidPayload("is required", path="$.definition")
    definition = load(read_wire(payload["definition"]), path="$.definition")
    if definition.settings.format != "worker":
        raise InvalidPayload("is interactive; only workers can be run as tasks", path="$.definition")
    workers = payload.get("workers")
    if workers is None:
        return definition, {}
    if not isinstance(workers, Mapping) or len(workers) > MOST_WORKERS:
        raise InvalidPayload(f"must be an object of at most {MOST_WORKERS} definitions", path="$.workers")
    library = {slug: load(read_wire(body), path=f"$.workers.{slug}") for slug, body in workers.items()}
    return definition, library
