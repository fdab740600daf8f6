"""`tool-call`: call a tool with arguments that the definition says."""

from __future__ import annotations

from agent_worker.pipelines.calls import Caller, as_error
from agent_worker.pipelines.definition.blocks import ToolCall
from agent_worker.pipelines.execution import Step
from agent_worker.pipelines.state import Effect
from agent_worker.pipelines.toolbox import tool_of_step
from agent_worker.pipelines.toolbox.offer import Call


async def run(step: Step, block: ToolCall) -> Effect:
    """Make the call. An absent variable leaves its parameter out.

    Raises:
        ToolError: It failed, here or in the client.
    """
    values = {name: step.value(value) for name, value in block.input.items()}
    arguments = {name: value for name, value in values.items() if value is not None}
    call = Call(f"{step.place}:{step.attempt}", block.tool, arguments)
    caller = Caller(step, await tool_of_step(step, block.tool), raises=True)
    await caller.announce(call)
    (outcome,) = await caller.make([call], part="1")
    if outcome.error is not None:
        raise as_error(block.tool, outcome)
    return step.writes(block.output, outcome.result)
