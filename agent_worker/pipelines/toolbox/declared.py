"""Tools that the definition declares: run by the worker where it has one of that name, else by the client."""

from __future__ import annotations

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.errors import ProcessorError
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.execution import Step
from agent_worker.pipelines.toolbox.offer import Call, Offer, Outcome, Run
from agent_worker.pipelines.types.schema import parameters_schema
from agent_worker.tools.registry import Tool


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the thread's `tools`."""
    found = (declared(step, name) for name in config.tools)
    return [each for each in found if each is not None]


def declared(step: Step, name: str) -> Offer | None:
    """Return a tool of the definition's `tools` section; None when it has none of that name."""
    definition = step.execution.definition
    tool = definition.tools.get(name)
    if tool is None:
        return None
    ours = step.execution.tool(name)
    return Offer(
        ToolSpec(name, tool.description, parameters_schema(tool.parameters, definition.types)),
        None if ours is None else _runs(step, ours),
        tool.display,
        tool.title,
    )


def _runs(step: Step, tool: Tool) -> Run:
    async def run(call: Call, part: str) -> Outcome:
        try:
            return Outcome(await tool.call(call.arguments, idempotency_key=step.idempotency_key(part)))
        except ProcessorError as error:
            return Outcome(error=str(error), is_retryable=error.retryable)

    return run
