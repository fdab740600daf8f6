"""How a thread talks to its model: the fields that `start-thread` and `agent` share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agent_worker.domain.chat import Thinking
from agent_worker.pipelines.definition.declarations import Display
from agent_worker.pipelines.definition.values import Ref

Speed: TypeAlias = Literal["fast", "standard"]
Cache: TypeAlias = Literal["auto", "extended", "off"]
OFF: Literal["off"] = "off"

DEFAULT_SANDBOX_TIMEOUT_S = 300.0
LONGEST_SANDBOX_TIMEOUT_S = 3600.0
DEFAULT_AGENT_STEPS = 10


@dataclass(frozen=True, slots=True)
class ProviderTool:
    """A tool that Anthropic runs: `web-search` or `code-execution`."""

    name: str
    display: Display = "description"
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderSkill:
    """A skill that Anthropic runs."""

    name: str
    type: Literal["anthropic", "custom"]
    version: str = "latest"
    display: Display = "description"
    description: str | None = None


@dataclass(frozen=True, slots=True)
class AnthropicOptions:
    """Options for models of Anthropic alone."""

    tools: tuple[ProviderTool, ...] = ()
    skills: tuple[ProviderSkill, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadConfig:
    """A thread's model, prompt, tools and bounds. None leaves a choice to the provider or to the fleet.

    A `Ref` stands for the value that the named variable has when the thread starts; that value is checked then.

    Attributes:
        model: `provider/model`.
        backup_model: Tried once when the model's provider has a passing fault.
        system: Name of the system prompt.
        input: Name in the system prompt → variable.
        temperature: 0 to 2; `off` sends none.
        thinking: How much a model may reason first; `off` disables it.
        max_steps: Rounds of tool calls; more than 1 lets the model go on after a tool's result.
        sandbox_timeout_s: Limit of one sandbox.
        max_tool_output_tokens: Longer results of tools are cut in what the model sees.
        max_output_tokens: Longest answer of one call.
        max_image_dimension: Larger images are scaled down, in pixels.
        loop_guard: Stop a model that repeats itself.
    """

    model: str | Ref | None = None
    backup_model: str | Ref | None = None
    system: str | None = None
    input: Mapping[str, str] = field(default_factory=dict)
    tools: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    mcp_servers: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    image_model: str | Ref | None = None
    video_model: str | Ref | None = None
    web_search: bool = False
    todo_list: bool = False
    thinking: Thinking | Ref | None = None
    temperature: float | Literal["off"] | Ref | None = None
    speed: Speed | Ref | None = None
    cache: Cache = "auto"
    max_steps: int | Ref | None = None
    sandbox_timeout_s: float = DEFAULT_SANDBOX_TIMEOUT_S
    max_tool_output_tokens: int | None = None
    max_output_tokens: int | None = None
    max_image_dimension: int | None = None
    loop_guard: bool = False
    anthropic: AnthropicOptions | None = None


@dataclass(frozen=True, slots=True)
class ContextManagement:
    """When and how an interactive agent shortens its history.

    Attributes:
        summarizer_worker: Slug of the worker that writes the running summary.
        threshold_percent: Part of the model's window, 0 to 1, at which it begins.
        recent_window: Newest messages that stay as they are.
        recent_percent: The same as a part of the window, 0 to 1.
    """

    summarizer_worker: str | None = None
    threshold_percent: float = 0.8
    recent_window: int = 30
    recent_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """`agent`: the main thread of an interactive agent."""

    thread: ThreadConfig
    agentic: bool = False
    context: ContextManagement | None = None
