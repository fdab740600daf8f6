"""One dataclass for each kind of block that the worker protocol knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from agent_worker.domain.chat import Role
from agent_worker.pipelines.conditions import Condition
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.definition.policies import FAIL, OnError, Retry
from agent_worker.pipelines.definition.threads import ThreadConfig
from agent_worker.pipelines.definition.values import Ref, Value
from agent_worker.pipelines.names import MAIN_THREAD
from agent_worker.pipelines.problems import Path, dotted

ThreadFormat: TypeAlias = Literal["markdown", "json"]
AudioFormat: TypeAlias = Literal["mp3", "opus", "aac", "flac", "wav"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What every step has.

    Attributes:
        name: The step's name, for people.
        path: Where it stands, from the root; unlike the name it is unique.
        line: In `protocol.yaml`, from 1; None when it came without lines.
        display: What a client shows of it.
        description: For the display `description`.
        title: For the display `title`.
        condition: The step is skipped when it does not hold; None always runs.
        retry: None tries once.
        timeout_s: Limit of one attempt; None leaves it to the run's.
        on_error: What follows when the last attempt has failed.
    """

    kind: ClassVar[str]

    name: str
    path: Path
    line: int | None
    display: Display
    description: str | None = None
    title: str | None = None
    condition: Condition | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    on_error: OnError = FAIL

    @property
    def key(self) -> str:
        """A text that no other step of the definition has, such as `steps.Each page.steps.Ask`."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartThread(Block):
    """Begin a conversation with a model."""

    kind: ClassVar[str] = "start-thread"

    thread: str
    config: ThreadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMessage(Block):
    """Add a turn to a conversation.

    Attributes:
        prompt: Name of the prompt.
        input: Name in the prompt → variable.
        files: Variables that hold files.
        visible: False keeps it from the client; the model sees it.
        ui_content: Variable that the client shows in place of the prompt.
    """

    kind: ClassVar[str] = "add-message"

    thread: str = MAIN_THREAD
    role: Role = "user"
    prompt: str
    input: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    visible: bool = True
    ui_content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextMessage(Block):
    """Let the model answer.

    Attributes:
        response_type: Declared object type of the answer; None is text.
        independent: The answer is no part of the main conversation.
    """

    kind: ClassVar[str] = "next-message"

    thread: str = MAIN_THREAD
    output: str | None = None
    response_type: str | None = None
    independent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall(Block):
    """Call a tool with these arguments."""

    kind: ClassVar[str] = "tool-call"

    tool: str
    input: Mapping[str, Value] = field(default_factory=dict)
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetResource(Block):
    """Write a resource."""

    kind: ClassVar[str] = "set-resource"

    resource: str
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializeThread(Block):
    """Write a conversation as text."""

    kind: ClassVar[str] = "serialize-thread"

    thread: str = MAIN_THREAD
    format: ThreadFormat = "markdown"
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWorker(Block):
    """Run another worker to its end."""

    kind: ClassVar[str] = "run-worker"

    worker: str
    input: Mapping[str, Value] = field(default_factory=dict)
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateImage(Block):
    """Make a picture.

    Attributes:
        prompt: Variable that holds the prompt.
        reference_images: Variables that hold addresses of pictures to change.
        size: Older form of resolution and ratio, such as `1024x1024`.
    """

    kind: ClassVar[str] = "generate-image"

    prompt: str
    image_model: str | Ref
    aspect_ratio: str | None = None
    resolution: str | None = None
    size: str | None = None
    reference_images: tuple[str, ...] = ()
    thread: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateVideo(Block):
    """Make a clip. Read, and refused when it runs.

    Attributes:
        options: Further fields, whose names are documented nowhere.
    """

    kind: ClassVar[str] = "generate-video"

    prompt: str
    video_model: str | Ref
    options: Mapping[str, Value] = field(default_factory=dict)
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSpeech(Block):
    """Read a text out. Read, and refused when it runs."""

    kind: ClassVar[str] = "generate-speech"

    text: str
    speech_model: str | Ref
    voice: str | Ref | None = None
    format: AudioFormat = "mp3"
    instructions: str | None = None
    language: str | None = None
    speed: float | Ref | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeAudio(Block):
    """Write down speech. Read, and refused when it runs."""

    kind: ClassVar[str] = "transcribe-audio"

    audio: str
    transcription_model: str | Ref
    language: str | None = None
    timestamps: bool = False
    output: str | None = None
