"""What each part of a definition refers to, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

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
from agent_worker.pipelines.definition.document import Definition
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
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.names import MCP_SEPARATOR
from agent_worker.pipelines.problems import Path
from agent_worker.pipelines.types.shapes import Shape, references

Kind: TypeAlias = Literal[
    "variable", "prompt", "tool", "skill", "reference", "MCP server", "worker", "type", "resource"
]


@dataclass(frozen=True, slots=True)
class Use:
    """One reference.

    Attributes:
        path: Where it stands.
    """

    kind: Kind
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class PromptUse:
    """A prompt with the names that are put into it.

    Attributes:
        path: Of the field that names the prompt.
        input: Name in the prompt → variable.
    """

    prompt: str
    path: Path
    input: Mapping[str, str]


def uses(definition: Definition) -> Iterator[Use]:
    """Yield every reference of the definition that its steps, its agent and its declarations make."""
    if definition.agent is not None:
        yield from _of_thread(definition.agent.thread, ("agent",))
        context = definition.agent.context
        if context is not None and context.summarizer_worker is not None:
            yield Use("worker", context.summarizer_worker, ("agent", "contextManagement", "summarizerWorker"))
    for block in definition.blocks():
        yield from of_block(block)
    for slug, worker in definition.workers.items():
        for inner, tool in worker.tools.items():
            yield Use("tool", tool, ("workers", slug, "tools", inner))
    if definition.output is not None:
        yield Use("variable", definition.output, ("output",))
    for path, shape in shapes(definition):
        yield Use("type", shape.innermost, path)
    for name, declared in definition.types.items():
        for inner in references(declared):
            yield Use("type", inner, ("types", name))


def of_block(block: AnyBlock) -> Iterator[Use]:
    """Yield what a block itself refers to; steps inside it speak for themselves."""
    if block.condition is not None:
        yield Use("variable", block.condition.variable, (*block.path, "if"))
    match block:
        case StartThread():
            yield from _of_thread(block.config, block.path)
        case AddMessage():
            yield Use("prompt", block.prompt, (*block.path, "prompt"))
            yield from _variables(block.path, "input", block.input.values())
            yield from _variables(block.path, "files", block.files)
            yield from _variables(block.path, "uiContent", [block.ui_content])
        case NextMessage():
            if block.response_type is not None:
                yield Use("type", block.response_type, (*block.path, "responseType"))
        case ToolCall():
            yield from _tools(block.path, "tool", [block.tool])
            yield from _variables(block.path, "input", block.input.values())
        case SetResource():
            yield Use("resource", block.resource, (*block.path, "resource"))
            yield from _variables(block.path, "value", [block.value])
        case RunWorker():
            yield Use("worker", block.worker, (*block.path, "worker"))
            yield from _variables(block.path, "input", block.input.values())
        case GenerateImage() | GenerateVideo() | GenerateSpeech() | TranscribeAudio():
            yield from _of_media(block)
        case _:
            yield from _of_flow(block)


def prompt_uses(definition: Definition) -> Iterator[PromptUse]:
    """Yield every place that names a prompt."""
    if definition.agent is not None and definition.agent.thread.system is not None:
        thread = definition.agent.thread
        yield PromptUse(thread.system or "", ("agent", "system"), thread.input)
    for block in definition.blocks():
        match block:
            case StartThread(config=ThreadConfig(system=str() as system, input=bindings)):
                yield PromptUse(system, (*block.path, "system"), bindings)
            case AddMessage() | HumanApproval():
                yield PromptUse(block.prompt, (*block.path, "prompt"), block.input)
            case _:
                pass


def shapes(definition: Definition) -> Iterator[tuple[Path, Shape]]:
    """Yield every type of a value, with where it stands; `types` itself left out."""
    for section, declared in (
        ("input", definition.inputs),
        ("variables", definition.variables),
        ("resources", definition.resources),
    ):
        for name, each in declared.items():
            yield (section, name, "type"), each.shape
    for name, tool in definition.tools.items():
        for key, parameter in tool.parameters.items():
            yield ("tools", name, "parameters", key, "type"), parameter.shape
    for name, trigger in definition.triggers.items():
        for key, given in trigger.inputs.items():
            yield ("triggers", name, "input", key, "type"), given.shape
    for block in definition.blocks():
        if isinstance(block, HumanApproval):
            for key, field in block.form.items():
                yield (*block.path, "form", key, "type"), field.shape


def _of_flow(
    block: SerializeThread | If | Branch | ForEach | Parallel | Repeat | SetVariable | Wait | HumanApproval,
) -> Iterator[Use]:
    match block:
        case If(test=test):
            yield from _variables(block.path, "condition", [test.variable])
        case Branch(value=value):
            yield from _variables(block.path, "value", [value])
        case ForEach(items=items):
            yield from _variables(block.path, "in", [items])
        case Repeat(until=until) if until is not None:
            # What `until` asks is known after the steps, not before them.
            yield Use("variable", until.variable, (*block.path, "until"))
        case SetVariable(value=value):
            yield from _variables(block.path, "value", [value])
        case Wait(seconds=seconds, until=until):
            yield from _variables(block.path, "for", _references(seconds))
            yield from _variables(block.path, "until", _references(until))
        case HumanApproval():
            yield Use("prompt", block.prompt, (*block.path, "prompt"))
            yield from _variables(block.path, "input", block.input.values())
        case _:
            pass


def _of_media(block: GenerateImage | GenerateVideo | GenerateSpeech | TranscribeAudio) -> Iterator[Use]:
    match block:
        case GenerateImage():
            yield from _variables(block.path, "prompt", [block.prompt])
            yield from _variables(block.path, "imageModel", _references(block.image_model))
            yield from _variables(block.path, "referenceImages", block.reference_images)
        case GenerateVideo():
            yield from _variables(block.path, "prompt", [block.prompt])
            yield from _variables(block.path, "videoModel", _references(block.video_model))
            yield from _variables(block.path, "options", block.options.values())
        case GenerateSpeech():
            yield from _variables(block.path, "text", [block.text])
            settings = _references(block.speech_model, block.voice, block.speed)
            yield from _variables(block.path, "speechModel", settings)
        case TranscribeAudio():
            yield from _variables(block.path, "audio", [block.audio])
            yield from _variables(block.path, "transcriptionModel", _references(block.transcription_model))


def _of_thread(thread: ThreadConfig, path: Path) -> Iterator[Use]:
    if thread.system is not None:
        yield Use("prompt", thread.system, (*path, "system"))
    yield from _variables(path, "input", thread.input.values())
    yield from _tools(path, "tools", thread.tools)
    named: tuple[tuple[Kind, str, tuple[str, ...]], ...] = (
        ("skill", "skills", thread.skills),
        ("reference", "references", thread.references),
        ("MCP server", "mcpServers", thread.mcp_servers),
        ("worker", "workers", thread.workers),
    )
    for kind, field, names in named:
        for name in names:
            yield Use(kind, name, (*path, field))
    settings = {
        "model": thread.model,
        "backupModel": thread.backup_model,
        "imageModel": thread.image_model,
        "videoModel": thread.video_model,
        "thinking": thread.thinking,
        "temperature": thread.temperature,
        "speed": thread.speed,
        "maxSteps": thread.max_steps,
    }
    for field, value in settings.items():
        yield from _variables(path, field, _references(value))


def _tools(path: Path, field: str, names: Iterable[str]) -> Iterator[Use]:
    for name in names:
        yield Use("tool", name, (*path, field))
        server, separator, _ = name.partition(MCP_SEPARATOR)
        if separator:
            yield Use("MCP server", server, (*path, field))


def _variables(path: Path, field: str, sources: Iterable[object]) -> Iterator[Use]:
    """Yield references among names and values; empty names stand for what could not be read."""
    for source in sources:
        name = source.name if isinstance(source, Ref) else source
        if isinstance(name, str) and name:
            yield Use("variable", name, (*path, field))


def _references(*settings: object) -> list[Ref]:
    return [setting for setting in settings if isinstance(setting, Ref)]
