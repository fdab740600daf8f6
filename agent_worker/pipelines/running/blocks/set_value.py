"""`set-variable` and `set-resource`: write a value."""

from __future__ import annotations

from agent_worker.pipelines.definition.blocks import SetResource
from agent_worker.pipelines.definition.flow import SetVariable
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect


async def set_variable(step: Step, block: SetVariable) -> Effect:
    """Write a variable."""
    return Effect(values={block.variable: step.value(block.value)})


async def set_resource(step: Step, block: SetResource) -> Effect:
    """Write a resource, and tell the client. It lives as long as the run."""
    value = step.value(block.value)
    if not step.voice.is_hidden:
        await step.voice.say("resource-update", {"name": block.resource, "value": value})
    return Effect(values={block.resource: value})
