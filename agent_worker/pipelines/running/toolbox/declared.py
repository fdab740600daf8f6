"""Tools that the definition declares: run by the worker where it has one of that name, else by the client."""

from __future__ import annotations

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.errors import ProcessorError
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.names import MCP_SEPARATOR
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.toolbox import mcp
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome, Run
from agent_worker.pipelines.types.schema import parameters_schema
from agent_worker.tools.registry import Tool


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the thread's `tools` that the definition declares."""
    found = [await offer(step, name) for name in config.tools]
    return [each for each in found if each is not None]


async def offer(step: Step, name: str) -> Offer | None:
    """Return a tool of the definition's `tools` section; None when it has none of that name."""
    definition = step.execution.definition
    tool = definition.tools.get(name)
    if tool is None:
        return None
    return Offer(
        ToolSpec(name, tool.description, parameters_schema(tool.parameters, definition.types)),
        await _run(step, name),
        tool.display,
        tool.title,
    )


async def _run(step: Step, name: str) -> Run | None:
    execution = step.execution
    ours = execution.tool(name)
    if ours is not None:
        return _runs(step, ours)
    theirs = execution.tool_names.get(name, name)
    return await mcp.mapped(step, theirs) if MCP_SEPARATOR in theirs else None


def _runs(step: Step, tool: Tool) -> Run:
    async def run(call: Call, part: str) -> Outcome:
        try:
            return Outcome(await tool.call(call.arguments, idempotency_key=step.idempotency_key(part)))
        except ProcessorError as error:
            return Outcome(error=str(error), is_retryable=error.retryable)

    return run
