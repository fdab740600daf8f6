"""What blocks run with: the run they belong to, and their own checkpoints and voice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.images import ImageMaker
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.processor import TaskContext
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.definition.steps import AnyBlock, Steps
from agent_worker.pipelines.definition.values import Value, resolve
from agent_worker.pipelines.prompts.render import render
from agent_worker.pipelines.running.pace import Pace, Turns, beside
from agent_worker.pipelines.running.quiet import Quiet
from agent_worker.pipelines.running.sandbox import SandboxEngine
from agent_worker.pipelines.running.state import Effect, Scope
from agent_worker.pipelines.running.stream import Stream, Voice
from agent_worker.pipelines.running.usage import Budget, Used
from agent_worker.tools.mcp import McpServers
from agent_worker.tools.registry import Tool, ToolRegistry

MAX_DEPTH = 8
"""Workers that call workers."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the embedding program provides.

    Attributes:
        tools: Tools that the worker runs itself.
        library: Other definitions by slug, for steps and models that call them.
        images: Makes pictures; None makes `generate-image` fail.
        sandboxes: Runs skills and code of models; None refuses threads that have skills.
        mcp: Servers of tools.
        turns: Shared by all runs of an event loop.
    """

    tools: ToolRegistry = field(default_factory=ToolRegistry)
    library: Mapping[str, Definition] = field(default_factory=dict)
    images: ImageMaker | None = None
    sandboxes: SandboxEngine | None = None
    mcp: McpServers = field(default_factory=lambda: McpServers({}))
    turns: Turns = field(default_factory=Turns)


@dataclass(frozen=True, slots=True)
class Execution:
    """One worker's run; a worker called by it has its own, over the same task.

    Attributes:
        ctx: The task's.
        definition: The worker's.
        stream: The worker's.
        budget: The part of the whole run's that belongs to what runs.
        quiet: The whole run's.
        around: What the embedding program provides.
        run_steps: Runs steps in order, changing the scope.
        run_worker: Runs another worker inside this run and returns its output.
        pace: The whole attempt's.
        prefix: Begins the names of this worker's checkpoints.
        depth: 0 for the outermost worker.
        tool_names: The worker's name of a tool → the caller's, where they differ.
    """

    ctx: TaskContext
    definition: Definition
    stream: Stream
    budget: Budget
    quiet: Quiet
    around: Surroundings
    run_steps: Callable[[Execution, Steps, Scope], Awaitable[None]]
    run_worker: Callable[[Execution, JsonObject], Awaitable[JsonValue]]
    pace: Pace
    prefix: str = ""
    depth: int = 0
    tool_names: Mapping[str, str] = field(default_factory=dict)

    def tool(self, name: str) -> Tool | None:
        """Return the tool that the worker runs itself; None when the client has to."""
        return self.around.tools.get(self.tool_names.get(name, name))

    async def prompt(self, name: str, mapped: Mapping[str, str], scope: Scope) -> str:
        """Render a prompt with what its block maps; absent variables show as nothing."""
        prompts, dialect = self.definition.prompts, self.definition.dialect
        values = {label: scope.values.get(source) for label, source in mapped.items()}
        return await beside(lambda: render(name, values, prompts=prompts, dialect=dialect), values)


class Step:
    """One execution of a block, over all its tries.

    Args:
        execution: The run; the step counts in a part of its budget.
        block: What runs.
        scope: The state before it; only read.
        place: Names this execution in the whole task.
    """

    def __init__(self, execution: Execution, block: AnyBlock, scope: Scope, place: str) -> None:
        self.execution = replace(execution, budget=execution.budget.part())
        self.block = block
        self.scope = scope
        self.place = place
        self.voice = Voice(execution.stream, block, place)
        self.attempt = 1
        """The try that runs, from 1."""
        self.opened = AsyncExitStack()
        """What is closed when the try has ended."""

    async def note(self, part: str, fn: Callable[[], Awaitable[JsonObject]]) -> JsonObject:
        """Run a part of the block once in the life of the task; what it used is counted, run or remembered.

        Args:
            part: Names it within the block.
            fn: Returns JSON, with what it used under `used` if it called a model.
        """
        is_live = False

        async def run() -> JsonObject:
            nonlocal is_live
            is_live = True
            noted = await fn()
            self.execution.pace.keep(noted)
            return noted

        noted = await self.execution.ctx.step(f"{part}:{self.place}", run)
        if not is_live:
            self.execution.pace.keep(noted)
            self.execution.budget.restore(Used.read(noted.get("used")))
        return noted

    def idempotency_key(self, number: int | str) -> str:
        """Return `execution:block:n`."""
        return self.execution.ctx.idempotency_key(f"{self.place}:{number}")

    def value(self, value: Value) -> JsonValue:
        """Return what a field of the block is now."""
        return resolve(value, self.scope.values)

    def writes(self, name: str | None, value: JsonValue) -> Effect:
        """Return the effect of an output; none without a name."""
        return Effect() if name is None else Effect(values={name: value})


def unsupported(message: str, *, code: str = "unsupported") -> ProcessorError:
    """Return the error for something that a definition may say and that is not available here."""
    return ProcessorError(message, code=code, retryable=False)
