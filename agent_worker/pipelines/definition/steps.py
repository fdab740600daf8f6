"""Lists of blocks, and what can be said of any of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

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

AnyBlock: TypeAlias = (
    StartThread
    | AddMessage
    | NextMessage
    | ToolCall
    | SetResource
    | SerializeThread
    | RunWorker
    | GenerateImage
    | GenerateVideo
    | GenerateSpeech
    | TranscribeAudio
    | If
    | Branch
    | ForEach
    | Parallel
    | Repeat
    | SetVariable
    | Wait
    | HumanApproval
)
"""Every kind of block: a closed set, to be matched with `assert_never`."""

Steps: TypeAlias = tuple[AnyBlock, ...]
"""Blocks in the order in which they run."""


def written(block: AnyBlock) -> tuple[str, ...]:
    """Return the variables that a block itself writes."""
    match block:
        case SetVariable(variable=name):
            names: tuple[str | None, ...] = (name,)
        case HumanApproval():
            names = (block.approved, block.output)
        case StartThread() | AddMessage() | SetResource() | If() | Branch() | Parallel() | Repeat() | Wait():
            names = ()
        case _:
            names = (block.output,)
    return tuple(name for name in names if name)


def nested(block: AnyBlock) -> tuple[Steps, ...]:
    """Return the lists of steps inside a block."""
    match block:
        case If(then=then, otherwise=otherwise):
            return (then, otherwise)
        case Branch(cases=cases, default=default):
            return (*cases.values(), default)
        case Parallel(branches=branches):
            return tuple(branches.values())
        case ForEach(steps=steps) | Repeat(steps=steps):
            return (steps,)
        case _:
            return ()


def walk(steps: Steps) -> Iterator[AnyBlock]:
    """Yield every block at any depth, in the order of the document."""
    for block in steps:
        yield block
        for inner in nested(block):
            yield from walk(inner)
