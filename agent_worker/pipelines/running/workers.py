"""Run another worker inside this run, for a step or for a model that calls it, with its own threads, variables and events."""

from __future__ import annotations

from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.pipelines.definition.declarations import Display, WorkerEntry
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.running.execution import MAX_DEPTH, Execution, Step, unsupported
from agent_worker.pipelines.running.interruptions import PAUSES
from agent_worker.pipelines.running.kept import Kept
from agent_worker.pipelines.running.pace import beside
from agent_worker.pipelines.running.stream import Stream
from agent_worker.pipelines.running.usage import Used
from agent_worker.pipelines.types.inputs import complete_inputs


class InnerWorker:
    """One call of a worker.

    Args:
        step: Who calls.
        slug: Whom.
        place: Names the call in the whole task.
        part: Tells it from other calls of the step; empty where there is one.
        display: What is shown of it: nothing, that it runs, or all that it says.

    Raises:
        ProcessorError: As `find_worker`.
    """

    def __init__(self, step: Step, slug: str, *, place: str, part: str = "", display: Display) -> None:
        self._definition = find_worker(step.execution, slug)
        self._step = step
        self._place = place
        self._entry = step.execution.definition.workers.get(slug)
        self._is_hidden = step.voice.is_hidden or display == "hidden"
        outer = step.execution.stream
        worker_id = str(uuid5(NAMESPACE_URL, f"worker:{outer.worker_id}:{place}"))
        self._stream = Stream(outer.ctx, worker_id, is_silent=self._is_hidden or display != "stream")
        self._budget = step.execution.budget.part()
        self._shown = Kept(outer.ctx, step.place, part=f"worker{part and '-'}{part}-")

    @property
    def used(self) -> Used:
        """What it used so far, also when it failed."""
        return self._budget.used

    async def run(self, given: JsonObject, *, path: str) -> JsonValue:
        """Run it to its end and return its output; its calls of models count in this run's limits.

        Args:
            given: Values of its inputs.
            path: Where they stand, for the message when they do not fit.

        Raises:
            InvalidPayload: The inputs do not fit.
            ProcessorError: The worker failed.
        """
        execution = self._step.execution
        declared = self._definition
        inputs = await beside(
            lambda: complete_inputs(declared.inputs, given, declared.types, path=path), given
        )
        inner = replace(
            execution,
            definition=self._definition,
            stream=self._stream,
            budget=self._budget,
            prefix=f"{self._place}/",
            depth=execution.depth + 1,
            tool_names=_tool_names(execution, self._entry),
        )
        if self._is_hidden:
            return await execution.run_worker(inner, inputs)
        await self._shown.start(lambda: self._say_start(inputs))
        try:
            output = await execution.run_worker(inner, inputs)
        except PAUSES:
            raise
        except BaseException as error:
            message = str(error) if isinstance(error, ProcessorError) else "The worker was stopped."
            await self._shown.fail(lambda: self._stream.end_worker(error=message))
            raise
        await self._stream.end_worker(output=output)
        return output

    async def announce(self, given: JsonObject, *, written: str) -> None:
        """Say that a model has called it, where the client sees all that it says."""
        about = {"workerSlug": self._definition.settings.slug, "description": self._description}
        await self._stream.say("worker-input-start", about)
        if written:
            await self._stream.say("worker-input-delta", {"delta": written})
        await self._stream.say("worker-input-ready", {"input": given})

    @property
    def _description(self) -> str | None:
        return None if self._entry is None else self._entry.title or self._entry.description

    async def _say_start(self, inputs: JsonObject) -> None:
        await self._stream.start_worker(
            self._definition.settings.slug,
            description=self._description,
            inputs=None if self._stream.is_silent else inputs,
        )


def find_worker(execution: Execution, slug: str) -> Definition:
    """Return a worker that may be called.

    Raises:
        ProcessorError: It is not there (code `unknown_worker`), or workers call each other too deeply (`too_deep`).
    """
    if execution.depth >= MAX_DEPTH:
        raise unsupported(f"Workers call each other more than {MAX_DEPTH} deep.", code="too_deep")
    definition = execution.around.library.get(slug)
    if definition is None or not definition.steps:
        raise unsupported(f"There is no worker {slug!r} to run.", code="unknown_worker")
    return definition


def _tool_names(execution: Execution, entry: WorkerEntry | None) -> dict[str, str]:
    mapped = {} if entry is None else dict(entry.tools)
    return {theirs: execution.tool_names.get(ours, ours) for theirs, ours in mapped.items()}
