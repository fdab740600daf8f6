"""`run-worker`: run another worker inside this run, with its own threads, variables and events."""

from __future__ import annotations

from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.json import JsonObject
from agent_worker.pipelines.definition.blocks import RunWorker
from agent_worker.pipelines.definition.declarations import WorkerEntry
from agent_worker.pipelines.execution import MAX_DEPTH, Execution, Step, unsupported
from agent_worker.pipelines.state import Effect
from agent_worker.pipelines.stream import Stream
from agent_worker.pipelines.types.inputs import complete_inputs


async def run(step: Step, block: RunWorker) -> Effect:
    """Run the worker to its end; its calls of models count in this run's limits.

    Raises:
        ProcessorError: There is no such worker (`unknown_worker`), workers call each other too deeply
            (`too_deep`), or the worker failed.
    """
    execution = step.execution
    entry = execution.definition.workers.get(block.worker)
    definition = execution.around.library.get(block.worker)
    if definition is None or not definition.steps:
        raise unsupported(f"There is no worker {block.worker!r} to run.", code="unknown_worker")
    if execution.depth >= MAX_DEPTH:
        raise unsupported(f"Workers call each other more than {MAX_DEPTH} deep.", code="too_deep")
    given = {name: step.value(value) for name, value in block.input.items()}
    inputs = complete_inputs(definition.inputs, given, definition.types)
    stream = _stream(step, entry)
    inner = replace(
        execution,
        definition=definition,
        stream=stream,
        prefix=f"{step.place}/",
        depth=execution.depth + 1,
        tool_names=_tool_names(execution, entry),
    )
    if step.voice.is_hidden:
        output = await execution.run_worker(inner, inputs)
    else:
        await _say_start(step, stream, inputs, entry)
        try:
            output = await execution.run_worker(inner, inputs)
        except ProcessorError as error:
            await stream.end_worker(error=str(error))
            raise
        await stream.end_worker(output=output)
    return step.writes(block.output, output)


async def _say_start(step: Step, stream: Stream, inputs: JsonObject, entry: WorkerEntry | None) -> None:
    async def start() -> JsonObject:
        await stream.start_worker(
            step.execution.around.library[_slug(step)].settings.slug,
            description=None if entry is None else entry.title or entry.description,
            inputs=None if stream.is_silent else inputs,
        )
        return {}

    await step.note("worker", start)


def _slug(step: Step) -> str:
    assert isinstance(step.block, RunWorker)  # noqa: S101 - dispatched by kind
    return step.block.worker


def _stream(step: Step, entry: WorkerEntry | None) -> Stream:
    outer = step.execution.stream
    inner_id = str(uuid5(NAMESPACE_URL, f"worker:{outer.worker_id}:{step.place}"))
    display = "stream" if entry is None else entry.display
    is_silent = outer.is_silent or step.block.display != "stream" or display != "stream"
    return Stream(outer.ctx, inner_id, is_silent=is_silent)


def _tool_names(execution: Execution, entry: WorkerEntry | None) -> dict[str, str]:
    mapped = {} if entry is None else dict(entry.tools)
    return {theirs: execution.tool_names.get(ours, ours) for theirs, ours in mapped.items()}
