"""What a definition declares before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent_worker.domain.json import JsonValue
from agent_worker.pipelines.types.shapes import Property, Shape

Format: TypeAlias = Literal["worker", "interactive"]
Dialect: TypeAlias = Literal["2.3", "2.11"]
"""What becomes of a prompt's `{{NAME}}` that no input provides: nothing (2.3), or the text as it stands (2.11)."""

Display: TypeAlias = Literal["hidden", "name", "description", "stream", "title"]
Execution: TypeAlias = Literal["sandbox", "device"]
McpSource: TypeAlias = Literal["remote", "device", "consumer"]
Connection: TypeAlias = Literal["lazy", "eager"]

DISPLAYS: tuple[Display, ...] = ("hidden", "name", "description", "stream", "title")


@dataclass(frozen=True, slots=True)
class Settings:
    """`settings.json`."""

    slug: str
    name: str
    format: Format
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """A value that whoever starts a run gives; it never changes.

    Attributes:
        shape: Its type.
        optional: Whether it may be left out.
        has_default: Whether there is a default, which may be null.
        default: What stands in for a value that is not given.
    """

    shape: Shape
    optional: bool = False
    has_default: bool = False
    default: JsonValue = None

    @property
    def may_be_left_out(self) -> bool:
        """Whether a run can do without it."""
        return self.optional or self.has_default

    def stand_in(self, otherwise: str) -> JsonValue:
        """Return the value when none is given."""
        return self.default if self.has_default else otherwise


@dataclass(frozen=True, slots=True)
class Variable:
    """A value that blocks write; it begins with its default, or absent."""

    shape: Shape
    has_default: bool = False
    default: JsonValue = None


@dataclass(frozen=True, slots=True)
class Resource:
    """A value that outlives a run and is shown to the client."""

    shape: Shape
    readonly: bool = False
    has_default: bool = False
    default: JsonValue = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the embedding program or the client runs."""

    name: str
    description: str
    parameters: Mapping[str, Property]
    display: Display = "description"
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Skill:
    """Instructions and code that a model may use in a sandbox."""

    name: str
    description: str | None = None
    display: Display = "description"
    title: str | None = None
    execution: Execution = "sandbox"


@dataclass(frozen=True, slots=True)
class OnDemandSkills:
    """How skills appear that a model finds by itself."""

    display: Display = "description"
    execution: Execution = "sandbox"


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server of tools, which are called `name__tool`."""

    name: str
    description: str
    source: McpSource
    display: Display = "description"
    title: str | None = None
    connection: Connection = "lazy"
    execution: Execution = "sandbox"


@dataclass(frozen=True, slots=True)
class WorkerEntry:
    """Another worker that may be called.

    Attributes:
        slug: Its definition's slug.
        description: What it does, for people and models.
        display: What of its events is shown.
        title: For the display `title`.
        tools: Name of the worker's tool → name of ours that answers for it.
    """

    slug: str
    description: str
    display: Display = "stream"
    title: str | None = None
    tools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trigger:
    """A way to call an interactive agent."""

    name: str
    description: str | None
    inputs: Mapping[str, Input]


@dataclass(frozen=True, slots=True)
class Reference:
    """A document that models may fetch."""

    name: str
    description: str
    content: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a whole run may use up; None is no limit.

    Attributes:
        max_cost: US dollars, as providers bill them.
        max_tokens: In and out, over all calls.
        max_llm_calls: Calls of models, repeated ones included.
        timeout_s: Seconds of running; waiting for people and clients does not count.
    """

    max_cost: float | None = None
    max_tokens: int | None = None
    max_llm_calls: int | None = None
    timeout_s: float | None = None
