"""The chat-model port: what the product asks of a model, and what comes back.

A model id is `provider/model`: `openai/gpt-4o-mini`, `anthropic/claude-sonnet-5`, `local/smollm2-135m`, `echo/echo`.
One file per provider stands in `agent_worker/llm/`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from agent_worker.domain.json import JsonObject

Role: TypeAlias = Literal["system", "user", "assistant"]
Thinking: TypeAlias = Literal["low", "medium", "high", "max", "off"]
FinishReason: TypeAlias = Literal["stop", "length", "content-filter", "tool-calls", "other"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants to be run; a chunk of its stream, and part of the turn that it ends.

    Attributes:
        id: The provider's name for this call; the result names it.
        name: The tool's.
        arguments: JSON text as the model wrote it, which may be no JSON at all.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that a model may ask for.

    Attributes:
        name: Letters, digits, `_` and `-`; at most 64.
        description: When and how to use it.
        parameters: JSON Schema (type object) of the arguments.
    """

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation.

    Attributes:
        role: Who speaks; `tool` for a tool's result.
        content: What is said.
        tool_calls: What an assistant's turn asks for.
        tool_call_id: Which call a tool's turn answers.
    """

    role: Role | Literal["tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to a model. None leaves a choice to the provider's default."""

    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    json_schema: JsonObject | None = None
    """JSON Schema the answer must follow; the answer is then JSON text."""
    tools: tuple[ToolSpec, ...] = ()
    """What the model may ask for; each call comes as a `ToolCall` before `Finished`."""
    thinking: Thinking | None = None
    """How much the model may reason first, where its provider takes such a wish."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted by the provider (or, for `echo`, words).

    Attributes:
        input_tokens: Read, those from the provider's cache included.
        output_tokens: Written, those of reasoning included.
        cached_tokens: How many of those read came from the cache, which costs less.
        input_image_tokens: How many of those read were pictures.
        output_image_tokens: How many of those written were a picture.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0

    def as_json(self) -> JsonObject:
        """Return `{"input_tokens", "output_tokens", "total_tokens"}`."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
        }


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thinks before it answers, where a provider shows it."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last chunk of every complete stream.

    Attributes:
        reason: Why the model stopped; `length` means that the answer is cut.
        model: The model's name as the provider reports it.
        usage: Tokens, zero where the provider does not say.
    """

    reason: FinishReason
    model: str
    usage: Usage = field(default_factory=Usage)


ChatChunk: TypeAlias = TextDelta | ReasoningDelta | ToolCall | Finished


class ChatModel(Protocol):
    """A model that answers by streaming."""

    @property
    def id(self) -> str:
        """`provider/model`."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield text as it comes, then calls of tools, then exactly one `Finished`.

        Read it inside `contextlib.aclosing`: leaving early then closes the provider's connection at once, and
        with it what the answer costs.

        Raises:
            UpstreamError: The provider refused, broke, or cut the stream before `Finished`.
        """
        ...
