"""`if` and `branch`: run one of several lists of steps."""

from __future__ import annotations

from agent_worker.pipelines.conditions import as_text
from agent_worker.pipelines.definition.flow import Branch, If
from agent_worker.pipelines.definition.steps import Steps
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect


async def run_if(step: Step, block: If) -> Effect:
    """Run `then` or `else`."""
    return await _run(step, block.then if block.test.holds(step.scope.values) else block.otherwise)


async def run_branch(step: Step, block: Branch) -> Effect:
    """Run the case that equals the value's text, or the default."""
    return await _run(step, block.choose(as_text(step.scope.values.get(block.value))))


async def _run(step: Step, steps: Steps) -> Effect:
    inner = step.scope.fork()
    await step.execution.run_steps(step.execution, steps, inner)
    return inner.since(step.scope)
