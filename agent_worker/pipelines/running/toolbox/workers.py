"""Workers that a model may call: the name is the slug, the arguments are the worker's inputs."""

from __future__ import annotations

from agent_worker.domain.chat import ToolSpec
from agent_worker.domain.errors import ProcessorError
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.running.execution import Step
from agent_worker.pipelines.running.interruptions import UNANSWERED
from agent_worker.pipelines.running.toolbox.offer import Call, Offer, Outcome
from agent_worker.pipelines.running.workers import InnerWorker, find_worker
from agent_worker.pipelines.types.inputs import inputs_schema


async def offers(step: Step, config: ThreadConfig) -> list[Offer]:
    """Return the thread's `workers`.

    Raises:
        ProcessorError: One is not there (code `unknown_worker`), or workers call each other too deeply (`too_deep`).
    """
    return [_offer(step, slug) for slug in config.workers]


def _offer(step: Step, slug: str) -> Offer:
    entry = step.execution.definition.workers[slug]

    def called(call: Call, part: str) -> InnerWorker:
        return InnerWorker(step, slug, place=call.id, part=part, display=entry.display)

    async def announce(call: Call, written: str) -> None:
        await called(call, "").announce(call.arguments, written=written)

    async def run(call: Call, part: str) -> Outcome:
        worker = called(call, part)
        try:
            output = await worker.run(call.arguments, path=f"{slug}.input")
        except UNANSWERED:
            raise
        except ProcessorError as error:
            return Outcome(error=str(error), is_retryable=error.retryable, used=worker.used)
        return Outcome(output, used=worker.used)

    definition = find_worker(step.execution, slug)
    parameters = inputs_schema(definition.inputs, definition.types)
    return Offer(ToolSpec(slug, entry.description, parameters), run, display="hidden", announce=announce)
