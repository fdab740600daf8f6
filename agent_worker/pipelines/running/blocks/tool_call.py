"""`tool-call`: call a tool with arguments that the definition says."""

from __future__ import annotations

from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.definition.blocks import ToolCall
from agent_worker.pipelines.names import MCP_SEPARATOR
from agent_worker.pipelines.running.calls import Caller, as_error
from agent_worker.pipelines.running.execution import Execution, Step
from agent_worker.pipelines.running.state import Effect
from agent_worker.pipelines.running.toolbox import tool_of_step
from agent_worker.pipelines.running.toolbox.offer import Call


async def run(step: Step, block: ToolCall) -> Effect:
    """Make the call. An absent variable leaves its parameter out.

    Raises:
        ToolError: It failed, here or in the client.
    """
    values = {name: step.value(value) for name, value in block.input.items()}
    arguments = {name: value for name, value in values.items() if value is not None}
    call = Call(f"{step.place}:{step.attempt}", block.tool, arguments)
    offers = await tool_of_step(step, block.tool)
    caller = Caller(step, offers, raises=True)
    offer = offers.get(block.tool)
    if offer is None or offer.run is not None:
        await caller.announce(call)
    else:
        await _announce_once(step, caller, call)
    (outcome,) = await caller.make([call], part="1")
    if outcome.error is not None:
        raise as_error(block.tool, outcome)
    return step.writes(block.output, outcome.result)


def may_wait(execution: Execution, block: ToolCall) -> bool:
    """Tell whether the client makes the call, so that the block has checkpoints inside."""
    name = execution.tool_names.get(block.tool, block.tool)
    return execution.tool(block.tool) is None and MCP_SEPARATOR not in name


async def _announce_once(step: Step, caller: Caller, call: Call) -> None:
    """Announce a call that the client makes. The step comes back here with the answer, and clients show each anew."""

    async def announce() -> JsonObject:
        await caller.announce(call)
        return {}

    await step.note(f"announced-{step.attempt}", announce)
