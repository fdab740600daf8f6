"""Read lists of steps: which kinds of block there are, and who reads each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.definition.steps import AnyBlock, Steps
from agent_worker.pipelines.reading import blocks, flow
from agent_worker.pipelines.reading.blocks import Draft
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.policies import read_common
from agent_worker.pipelines.reading.scope import Scope

KINDS: Mapping[str, tuple[Callable[[Draft], AnyBlock], Display]] = MappingProxyType(
    {
        "start-thread": (blocks.start_thread, "hidden"),
        "add-message": (blocks.add_message, "hidden"),
        "next-message": (blocks.next_message, "stream"),
        "tool-call": (blocks.tool_call, "description"),
        "set-resource": (blocks.set_resource, "name"),
        "serialize-thread": (blocks.serialize_thread, "name"),
        "run-worker": (blocks.run_worker, "stream"),
        "generate-image": (blocks.generate_image, "description"),
        "generate-video": (blocks.generate_video, "description"),
        "generate-speech": (blocks.generate_speech, "description"),
        "transcribe-audio": (blocks.transcribe_audio, "description"),
        "if": (flow.if_block, "hidden"),
        "branch": (flow.branch, "hidden"),
        "for-each": (flow.for_each, "name"),
        "parallel": (flow.parallel, "name"),
        "repeat": (flow.repeat, "name"),
        "set-variable": (flow.set_variable, "hidden"),
        "wait": (flow.wait, "description"),
        "human-approval": (flow.human_approval, "description"),
    }
)
"""Every kind of block: who reads it, and what a client shows of it unless it says otherwise."""


def read_steps(parent: Fields, name: str, scope: Scope) -> Steps:
    """Read a field that holds steps by name, in their order."""
    found = []
    for step, fields in parent.sections(name):
        block = _read_block(step, fields, scope)
        if block is not None:
            found.append(block)
    return tuple(found)


def _read_block(name: str, fields: Fields, scope: Scope) -> AnyBlock | None:
    kind = fields.required_text("block")
    if kind not in KINDS:
        if kind:
            fields.problems.unknown(fields.at("block"), "kind of block", kind, KINDS.keys())
        return None
    read, display = KINDS[kind]
    draft = Draft(fields, read_common(name, fields, display, scope), scope, read_steps)
    block = read(draft)
    fields.close()
    return block
