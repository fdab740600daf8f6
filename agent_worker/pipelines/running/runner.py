"""Run a worker's steps so that no crash, pause or question makes anything happen twice.

**State** is values (inputs, variables, resources, loop items), threads with their messages, and the position. It is
never stored as a whole: it is the sum of the effects of the blocks that have finished.

**Checkpoints.** A block runs inside `ctx.step` under its place, which is its path and the rounds of the loops around it.
What is stored is its effect: the values that it wrote, the messages that it added, what it used, where it goes next. A
replay begins at the top and applies the stored effects, one look-up per finished block, without calling models or tools;
a loop or a parallel block that has finished is one look-up as well. Inside blocks that are long there are further
checkpoints: each round of a model, each call of a tool, each item of a loop. Hidden blocks that only compute
(`set-variable`, `add-message`, `start-thread`, conditions) have none, for computing is cheaper than remembering.

**Events** carry the step that they were said in. Those of a finished step stay; those of a step that was cut short are
dropped by clients when the next attempt begins, and said again. So what starts before a checkpoint inside a block, such
as a loop's `block-start`, has a checkpoint of its own.

**Waiting.** Questions to people and clients park the task; `wait` postpones it. No worker is held. Side by side, one
question is asked at a time (`quiet.py`). A tool call that is repeated after a crash has the same idempotency key,
`execution:block:n`.

**Failures.** A failed block is tried again as its `retry` says, then `onError` decides. A block that fails leaves nothing
behind, also one with steps inside; what its own inner steps have finished is remembered when it is tried again. An error
that is left fails the attempt; if it is retryable, the task's next attempt goes on from the last checkpoint.
"""

from __future__ import annotations

import asyncio
import functools
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from agent_worker.domain.errors import Postponed, ProcessorError, ProviderPaused
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.replay import Call, Parked
from agent_worker.domain.task import Task
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.steps import AnyBlock, Steps
from agent_worker.pipelines.library import NO_PINS, Pins
from agent_worker.pipelines.names import LONGEST_PLACE, MAIN_THREAD, RUN_START, block_step, shortened
from agent_worker.pipelines.running.attempts import run_with_policies
from agent_worker.pipelines.running.blocks import is_computed, is_long
from agent_worker.pipelines.running.execution import Execution, Step, Surroundings
from agent_worker.pipelines.running.interruptions import PAUSES
from agent_worker.pipelines.running.kept import Kept
from agent_worker.pipelines.running.pace import Pace, beside, weigh
from agent_worker.pipelines.running.quiet import Quiet
from agent_worker.pipelines.running.state import Effect, Scope
from agent_worker.pipelines.running.stream import Stream
from agent_worker.pipelines.running.toolbox.mcp import connect_eagerly
from agent_worker.pipelines.running.triggers import last_answer
from agent_worker.pipelines.running.usage import Budget, LimitExceeded, Price, Used
from agent_worker.pipelines.types.inputs import complete_inputs
from agent_worker.pipelines.validation import check_together

_RAN = "run:ran_s"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to.

    Attributes:
        output: The value of the definition's `output`; None also when it has none. Of an agent, its last answer.
        used: By models, in all.
    """

    output: JsonValue
    used: Used


async def run_pipeline(
    definition: Definition,
    given: JsonObject,
    *,
    task: Task,
    ctx: TaskContext,
    around: Surroundings,
    price: Price | None = None,
    pins: Pins = NO_PINS,
) -> Result:
    """Run a worker, or go on with it.

    Args:
        definition: A valid one with steps.
        given: Values of its inputs.
        task: The attempt's.
        ctx: The attempt's.
        around: Tools, other workers, providers.
        price: What calls of models cost; needed for `maxCost`.
        pins: Which stored definitions it uses; kept for its further attempts.

    Raises:
        InvalidPayload: The inputs do not fit, or those of a worker that is called.
        ProcessorError: A block failed, or a limit is reached.
    """
    check_together(definition, around.library)
    stream = Stream(ctx, str(task.id))
    execution = Execution(
        ctx,
        definition,
        stream,
        Budget(definition.limits, price),
        Quiet(),
        around,
        run_steps=run_steps,
        run_worker=_run_worker,
        pace=Pace(around.turns),
    )
    inputs, size = await beside(lambda: _complete(definition, given), given)
    execution.pace.count(size)
    try:
        await _start(execution, inputs, pins)
        async with AsyncExitStack() as limits:
            await _limit_time(execution, limits)
            output = await _run_worker(execution, inputs)
    except Parked as parked:
        if parked.question.call is not Call.CLIENT:  # ask_client has closed the leg itself
            await stream.end_leg("client-tool-calls")
        raise
    except ProcessorError as error:
        if _is_final(error, task):
            await stream.end_worker(error=str(error))
        raise
    await stream.end_worker(output=output)
    await stream.end_leg("stop")
    await stream.tell_usage(execution.budget.used)
    return Result(output, execution.budget.used)


async def run_steps(execution: Execution, steps: Steps, scope: Scope) -> None:
    """Run steps in order; what they do is applied to `scope`.

    Raises:
        ProcessorError: A step failed, and its `onError` says that this is that.
    """
    index = 0
    while index < len(steps):
        goto = await _run_one(execution, steps[index], scope)
        if goto is None:
            index += 1
        else:
            index = next(index for index, block in enumerate(steps) if block.name == goto)


def _complete(definition: Definition, given: JsonObject) -> tuple[JsonObject, int]:
    inputs = complete_inputs(definition.inputs, given, definition.types, path="$.input")
    return inputs, weigh(inputs)


async def _run_worker(execution: Execution, inputs: JsonObject) -> JsonValue:
    definition = execution.definition
    starting = {
        name: each.default
        for declared in (definition.resources, definition.variables)
        for name, each in declared.items()
        if each.has_default
    }
    scope = Scope({**starting, **inputs})
    connect_eagerly(execution)
    await execution.run_steps(execution, definition.steps, scope)
    if definition.settings.format == "interactive":
        return last_answer(scope.threads.get(MAIN_THREAD))
    return None if definition.output is None else scope.values.get(definition.output)


async def _start(execution: Execution, inputs: JsonObject, pins: Pins) -> None:
    """Open the leg; the first one's start is kept, so that whoever reads the whole stream sees it first, and so are the pins."""
    opened = False

    async def open_stream() -> JsonObject:
        nonlocal opened
        opened = True
        await execution.stream.start_leg()
        settings = execution.definition.settings
        await execution.stream.start_worker(settings.slug, description=settings.description, inputs=inputs)
        return pins.as_json()

    await execution.ctx.step(RUN_START, open_stream)
    if not opened:
        await execution.stream.start_leg()


async def _limit_time(execution: Execution, limits: AsyncExitStack) -> None:
    """Stop the run when the definition's `timeout` is used up; only running counts, over all attempts."""
    limit_s = execution.definition.limits.timeout_s
    if limit_s is None:
        return
    ran_before = await execution.ctx.checkpoint.get(_RAN, 0.0)
    ran_s = float(ran_before) if isinstance(ran_before, int | float) else 0.0
    await limits.enter_async_context(_Clock(execution.ctx, ran_s, limit_s))


class _Clock:
    """Measures an attempt and notes the sum where it ends without finishing the run."""

    def __init__(self, ctx: TaskContext, ran_s: float, limit_s: float) -> None:
        self._ctx = ctx
        self._ran_s = ran_s
        self._limit_s = limit_s
        self._began = time.monotonic()
        self._timeout = asyncio.timeout(max(limit_s - ran_s, 0.0))

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, None)
        except TimeoutError:
            raise LimitExceeded(f"The run took longer than its limit of {self._limit_s:g} s.") from error
        if isinstance(error, Parked | ProcessorError):
            await self._ctx.checkpoint.put(_RAN, self._ran_s + time.monotonic() - self._began)


def _is_final(error: ProcessorError, task: Task) -> bool:
    """Tell whether the engine makes no further attempt."""
    if isinstance(error, ProviderPaused | Postponed):
        return False
    return not error.retryable or task.attempts_left <= 0


async def _run_one(execution: Execution, block: AnyBlock, scope: Scope) -> str | None:
    """Run or recall a block, apply its effect, and return the step to go to."""
    await execution.pace.turn()
    if block.condition is not None and not block.condition.holds(scope.values):
        return None
    place = shortened(execution.prefix + scope.place(block), LONGEST_PLACE)
    step = Step(execution, block, scope, place)
    if is_computed(block) and step.voice.is_hidden:
        effect = await _bracketed(step)
    else:
        effect = await _remembered(step)
    scope.apply(effect)
    return effect.goto


async def _remembered(step: Step) -> Effect:
    is_live = False

    async def run() -> JsonObject:
        nonlocal is_live
        is_live = True
        stored = (await _bracketed(step)).as_json()
        step.execution.pace.keep(stored)
        return stored

    stored = await step.execution.ctx.step(block_step(step.place), run)
    effect = Effect.read(stored)
    if not is_live:
        step.execution.pace.keep(stored)
        step.execution.budget.restore(effect.used)
    return effect


async def _bracketed(step: Step) -> Effect:
    """Run a block between its start and its end."""
    kept = Kept(step.execution.ctx, step.place) if is_long(step) and not step.voice.is_hidden else None
    await (step.voice.start() if kept is None else kept.start(step.voice.start))
    try:
        effect = await run_with_policies(step)
    except PAUSES:
        raise
    except BaseException as error:
        end = functools.partial(step.voice.end, error=error)
        await (end() if kept is None else kept.fail(end))
        raise
    effect = replace(effect, used=step.execution.budget.used)
    await step.voice.end(used=effect.used)
    return effect
