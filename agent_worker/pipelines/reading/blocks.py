"""Read the blocks of the worker protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent_worker.domain.chat import Role
from agent_worker.pipelines.definition.blocks import (
    AddMessage,
    AudioFormat,
    GenerateImage,
    GenerateSpeech,
    GenerateVideo,
    NextMessage,
    RunWorker,
    SerializeThread,
    SetResource,
    StartThread,
    ThreadFormat,
    ToolCall,
    TranscribeAudio,
)
from agent_worker.pipelines.definition.steps import Steps
from agent_worker.pipelines.definition.values import Ref
from agent_worker.pipelines.names import MAIN_THREAD
from agent_worker.pipelines.problems import quoted
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.policies import Common
from agent_worker.pipelines.reading.scope import (
    Scope,
    as_value,
    read_bindings,
    read_model,
    read_name,
    read_output,
    read_reference,
    read_required_variable,
    read_tool,
    read_value,
    read_values,
    read_variable,
    read_variables_list,
    variable_text,
)
from agent_worker.pipelines.reading.threads import read_thread
from agent_worker.pipelines.types.shapes import ObjectType

_ROLES: tuple[Role, ...] = ("user", "assistant", "system")
_THREAD_FORMATS: tuple[ThreadFormat, ...] = ("markdown", "json")
_AUDIO_FORMATS: tuple[AudioFormat, ...] = ("mp3", "opus", "aac", "flac", "wav")
_SLOWEST, _FASTEST = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class Draft:
    """A block while it is read.

    Attributes:
        fields: Its fields.
        common: What every block has, read already.
        scope: What it can refer to.
        read_steps: Reads a field that holds steps, in a scope.
    """

    fields: Fields
    common: Common
    scope: Scope
    read_steps: Callable[[Fields, str, Scope], Steps]

    def thread(self) -> str:
        """Read `thread`."""
        return self.fields.text("thread") or MAIN_THREAD


def start_thread(draft: Draft) -> StartThread:
    """Read `start-thread`; in a worker it needs a model and a system prompt."""
    fields = draft.fields
    return StartThread(
        **draft.common,
        thread=fields.text("thread") or draft.common["name"],
        config=read_thread(fields, draft.scope, must_have_prompt=draft.scope.format == "worker"),
    )


def add_message(draft: Draft) -> AddMessage:
    """Read `add-message`."""
    fields, scope = draft.fields, draft.scope
    if not fields.has("role"):
        fields.missing("role")
    return AddMessage(
        **draft.common,
        thread=draft.thread(),
        role=fields.choice("role", _ROLES) or "user",
        prompt=read_name(fields, "prompt", "prompt", scope.prompts, required=True) or "",
        input=read_bindings(fields, scope),
        files=read_variables_list(fields, "files", scope),
        visible=fields.flag("visible", default=True),
        ui_content=read_variable(fields, "uiContent", scope),
    )


def next_message(draft: Draft) -> NextMessage:
    """Read `next-message`."""
    fields = draft.fields
    return NextMessage(
        **draft.common,
        thread=draft.thread(),
        output=read_output(fields, draft.scope),
        response_type=_response_type(fields, draft.scope),
        independent=fields.flag("independent"),
    )


def tool_call(draft: Draft) -> ToolCall:
    """Read `tool-call`."""
    return ToolCall(
        **draft.common,
        tool=read_tool(draft.fields, draft.scope),
        input=read_values(draft.fields, draft.scope),
        output=read_output(draft.fields, draft.scope),
    )


def set_resource(draft: Draft) -> SetResource:
    """Read `set-resource`."""
    fields, scope = draft.fields, draft.scope
    name = read_name(fields, "resource", "resource", scope.resources.keys(), required=True) or ""
    if name in scope.resources and scope.resources[name].readonly:
        fields.problems.error(fields.at("resource"), f"{name} is read only")
    text = variable_text(fields.node("value"))
    if text is not None:
        read_reference(fields, "value", text, scope)
    return SetResource(**draft.common, resource=name, value=read_value(fields, "value", scope))


def serialize_thread(draft: Draft) -> SerializeThread:
    """Read `serialize-thread`."""
    return SerializeThread(
        **draft.common,
        thread=draft.thread(),
        format=draft.fields.choice("format", _THREAD_FORMATS) or "markdown",
        output=read_output(draft.fields, draft.scope),
    )


def run_worker(draft: Draft) -> RunWorker:
    """Read `run-worker`; it is shown as its entry under `workers` says."""
    fields, common = draft.fields, draft.common.copy()
    slug = read_name(fields, "worker", "worker", draft.scope.workers.keys(), required=True) or ""
    if slug in draft.scope.workers and not fields.has("display"):
        common["display"] = draft.scope.workers[slug].display
    return RunWorker(
        **common,
        worker=slug,
        input=read_values(draft.fields, draft.scope),
        output=read_output(draft.fields, draft.scope),
    )


def generate_image(draft: Draft) -> GenerateImage:
    """Read `generate-image`."""
    fields, scope = draft.fields, draft.scope
    if fields.has("size"):
        fields.problems.warning(fields.at("size"), "size is the older form of aspectRatio and resolution")
    return GenerateImage(
        **draft.common,
        prompt=read_required_variable(fields, "prompt", scope),
        image_model=_required_model(fields, "imageModel", scope),
        aspect_ratio=fields.text("aspectRatio"),
        resolution=fields.text("resolution"),
        size=fields.text("size"),
        reference_images=read_variables_list(fields, "referenceImages", scope),
        thread=fields.text("thread"),
        output=read_output(fields, scope),
    )


def generate_video(draft: Draft) -> GenerateVideo:
    """Read `generate-video`, whose fields are documented nowhere: those it does not share with pictures are kept."""
    fields, scope = draft.fields, draft.scope
    prompt = read_required_variable(fields, "prompt", scope)
    model = _required_model(fields, "videoModel", scope)
    output = read_output(fields, scope)
    options = {name: as_value(node, path, scope, fields.problems) for name, node, path in fields.others()}
    return GenerateVideo(**draft.common, prompt=prompt, video_model=model, options=options, output=output)


def generate_speech(draft: Draft) -> GenerateSpeech:
    """Read `generate-speech`."""
    fields, scope = draft.fields, draft.scope
    speed = variable_text(fields.node("speed"))
    voice = variable_text(fields.node("voice"))
    return GenerateSpeech(
        **draft.common,
        text=read_required_variable(fields, "text", scope),
        speech_model=_required_model(fields, "speechModel", scope),
        voice=fields.text("voice") if voice is None else Ref(voice),
        format=fields.choice("format", _AUDIO_FORMATS) or "mp3",
        instructions=fields.text("instructions"),
        language=fields.text("language"),
        speed=fields.number("speed", at_least=_SLOWEST, at_most=_FASTEST)
        if speed is None
        else read_reference(fields, "speed", speed, scope),
        output=read_output(fields, scope),
    )


def transcribe_audio(draft: Draft) -> TranscribeAudio:
    """Read `transcribe-audio`."""
    fields, scope = draft.fields, draft.scope
    return TranscribeAudio(
        **draft.common,
        audio=read_required_variable(fields, "audio", scope),
        transcription_model=_required_model(fields, "transcriptionModel", scope),
        language=fields.text("language"),
        timestamps=fields.flag("timestamps"),
        output=read_output(fields, scope),
    )


def _required_model(fields: Fields, name: str, scope: Scope) -> str | Ref:
    if fields.node(name) is None:
        fields.missing(name)
    return read_model(fields, name, scope) or ""


def _response_type(fields: Fields, scope: Scope) -> str | None:
    name = fields.text("responseType")
    if name is None:
        return None
    declared = scope.types.get(name)
    if declared is None:
        fields.problems.unknown(fields.at("responseType"), "type", name, scope.types.keys())
    elif not isinstance(declared, ObjectType):
        message = (
            f"providers answer with objects, and {quoted(name)} is none; wrap it in a type with one property"
        )
        fields.problems.error(fields.at("responseType"), message)
    return name
