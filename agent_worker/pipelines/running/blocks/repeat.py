"""`repeat`: run steps until a condition holds after them, or often enough."""

from __future__ import annotations

from agent_worker.pipelines.definition.flow import Repeat
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect


async def run(step: Step, block: Repeat) -> Effect:
    """Run the rounds one after another; each goes on with what the one before left."""
    inner = step.scope.fork()
    for number in range(block.max_iterations):
        inner.rounds = (*step.scope.rounds, number)
        await step.execution.run_steps(step.execution, block.steps, inner)
        if block.until is not None and block.until.holds(inner.values):
            break
    return inner.since(step.scope)
