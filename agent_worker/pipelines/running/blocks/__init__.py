"""What each kind of block does: one file per kind, each a function from a step to its effect."""

from __future__ import annotations

from typing import assert_never

from agent_worker.pipelines.definition.blocks import (
    AddMessage,
    GenerateImage,
    GenerateSpeech,
    GenerateVideo,
    NextMessage,
    RunWorker,
    SerializeThread,
    SetResource,
    StartThread,
    ToolCall,
    TranscribeAudio,
)
from agent_worker.pipelines.definition.flow import (
    Branch,
    ForEach,
    HumanApproval,
    If,
    Parallel,
    Repeat,
    SetVariable,
    Wait,
)
from agent_worker.pipelines.definition.steps import AnyBlock
from agent_worker.pipelines.running.blocks import (
    add_message,
    branch,
    for_each,
    generate_image,
    human_approval,
    next_message,
    parallel,
    repeat,
    run_worker,
    serialize_thread,
    set_value,
    start_thread,
    tool_call,
    wait,
)
from agent_worker.pipelines.running.execution import Step, unsupported
from agent_worker.pipelines.running.state import Effect


def is_computed(block: AnyBlock) -> bool:
    """Tell whether a block does nothing but compute, so that it may run again in every attempt."""
    return isinstance(
        block, StartThread | AddMessage | SetVariable | SetResource | SerializeThread | If | Branch
    )


def is_long(step: Step) -> bool:
    """Tell whether a block says things in checkpoints of its own, so that its start needs one as well."""
    match step.block:
        case If() | Branch() | ForEach() | Parallel() | Repeat() | RunWorker():
            return True
        case NextMessage() as block:
            return next_message.may_take_rounds(step.execution, step.scope, block)
        case ToolCall() as block:
            return tool_call.may_wait(step.execution, block)
        case _:
            return False


async def run_block(step: Step) -> Effect:  # noqa: C901, PLR0911, PLR0912 - one line for each kind
    """Do what the block says.

    Raises:
        ProcessorError: It failed.
    """
    match step.block:
        case StartThread() as block:
            return await start_thread.run(step, block)
        case AddMessage() as block:
            return await add_message.run(step, block)
        case NextMessage() as block:
            return await next_message.run(step, block)
        case ToolCall() as block:
            return await tool_call.run(step, block)
        case SetResource() as block:
            return await set_value.set_resource(step, block)
        case SetVariable() as block:
            return await set_value.set_variable(step, block)
        case SerializeThread() as block:
            return await serialize_thread.run(step, block)
        case RunWorker() as block:
            return await run_worker.run(step, block)
        case GenerateImage() as block:
            return await generate_image.run(step, block)
        case GenerateVideo() | GenerateSpeech() | TranscribeAudio() as block:
            raise unsupported(f"Steps of the kind {block.kind} cannot be run here.")
        case If() as block:
            return await branch.run_if(step, block)
        case Branch() as block:
            return await branch.run_branch(step, block)
        case ForEach() as block:
            return await for_each.run(step, block)
        case Parallel() as block:
            return await parallel.run(step, block)
        case Repeat() as block:
            return await repeat.run(step, block)
        case Wait() as block:
            return await wait.run(step, block)
        case HumanApproval() as block:
            return await human_approval.run(step, block)
        case _:
            assert_never(step.block)
