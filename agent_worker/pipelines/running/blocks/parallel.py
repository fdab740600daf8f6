"""`parallel`: run lists of steps side by side, each on a copy of the state, and put together what they did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent_worker.pipelines.definition.flow import Parallel
from agent_worker.pipelines.definition.steps import Steps
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect


async def run(step: Step, block: Parallel) -> Effect:
    """Run all branches to their end, also when one fails; then fail with the first that did."""
    effects: dict[str, Effect] = {}

    def branch(name: str, steps: Steps) -> Callable[[], Awaitable[None]]:
        async def run_branch() -> None:
            inner = step.scope.fork()
            await step.execution.run_steps(step.execution, steps, inner)
            effects[name] = inner.since(step.scope)

        return run_branch

    await step.execution.quiet.together([branch(name, steps) for name, steps in block.branches.items()])
    merged = step.scope.fork()
    for name in block.branches:
        merged.apply(effects[name])
    return merged.since(step.scope)
