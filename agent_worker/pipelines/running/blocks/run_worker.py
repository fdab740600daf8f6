"""`run-worker`: run another worker inside this run."""

from __future__ import annotations

from agent_worker.pipelines.definition.blocks import RunWorker
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.state import Effect
from agent_worker.pipelines.running.workers import InnerWorker


async def run(step: Step, block: RunWorker) -> Effect:
    """Run the worker to its end.

    Raises:
        ProcessorError: There is no such worker (`unknown_worker`), workers call each other too deeply
            (`too_deep`), the inputs do not fit (`invalid_payload`), or the worker failed.
    """
    given = {name: step.value(value) for name, value in block.input.items()}
    entry = step.execution.definition.workers.get(block.worker)
    # A step may show less than the worker's entry says, and no more.
    display = block.display if entry is None or block.display != "stream" else entry.display
    worker = InnerWorker(step, block.worker, place=step.place, display=display)
    return step.writes(block.output, await worker.run(given, path=f"{block.key}.input"))
