"""`anthropic/…`, `google_genai/…` and the other providers, through LangChain's `init_chat_model`.

LangChain's integrations read their own keys (ANTHROPIC_API_KEY, GOOGLE_API_KEY …) from the environment. Each needs its
package; `PROVIDERS` says which. `langchain-openai/<model>` is the LangChain way to the server that `openai/<model>`
reaches directly: for comparing the two, and for testing this file without any other provider's package.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from functools import lru_cache
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agent_worker.domain.chat import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    Finished,
    FinishReason,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
)
from agent_worker.domain.errors import ProcessorError
from agent_worker.llm import upstream
from agent_worker.llm.json_schema import schema_name
from agent_worker.llm.langchain_errors import translate
from agent_worker.llm.openai import EFFORTS, message_json, tools_json
from agent_worker.llm.openai_access import DEFAULT_TIMEOUTS, OpenAIAccess, Timeouts

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessageChunk

Item = TypeVar("Item")

LANGCHAIN_OPENAI = "langchain-openai"

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        LANGCHAIN_OPENAI: "langchain-openai",
        "anthropic": "langchain-anthropic",
        "azure_ai": "langchain-azure-ai",
        "azure_openai": "langchain-openai",
        "bedrock": "langchain-aws",
        "bedrock_converse": "langchain-aws",
        "cohere": "langchain-cohere",
        "deepseek": "langchain-deepseek",
        "fireworks": "langchain-fireworks",
        "google_genai": "langchain-google-genai",
        "google_vertexai": "langchain-google-vertexai",
        "groq": "langchain-groq",
        "huggingface": "langchain-huggingface",
        "mistralai": "langchain-mistralai",
        "nvidia": "langchain-nvidia-ai-endpoints",
        "ollama": "langchain-ollama",
        "perplexity": "langchain-perplexity",
        "together": "langchain-together",
        "xai": "langchain-xai",
    }
)
"""Provider, as in a model id → the package on PyPI that LangChain needs for it."""

_FINISH_KEYS = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_FINISH_REASONS: Mapping[str, FinishReason] = MappingProxyType(
    {
        **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos_token", "eos", "complete"), "stop"),
        **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),
        **dict.fromkeys(("content_filter", "content_filtered", "safety", "refusal"), "content-filter"),
        **dict.fromkeys(("guardrail_intervened", "prohibited_content", "blocklist"), "content-filter"),
        **dict.fromkeys(("tool_calls", "tool_use", "tool_call", "function_call"), "tool-calls"),
    }
)
"""What providers say in lower case → what we say; anything else is `other`."""


class LangChainChat:
    """A model behind LangChain.

    Args:
        id: `provider/model`, the provider being one of `PROVIDERS`.
        access: The server behind `langchain-openai/…`; the other providers read their own from the environment.
        timeouts: Limits of one request by the other providers, which take only `silence_s`.

    Raises:
        ProcessorError: The integration is not installed (code `missing_package`); says what to run.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the port's name
        *,
        access: OpenAIAccess | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        self._id = id
        self._provider, _, self._model = id.partition("/")
        self._access = access
        self._timeouts = timeouts
        self._chat = lru_cache(maxsize=16)(self._make)
        require_package(self._provider)

    @property
    def id(self) -> str:
        """`provider/model`."""
        return self._id

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield text as it comes, then `Finished`; with a JSON schema the text comes in one piece.

        Raises:
            UpstreamError: The provider refused, broke or cut the stream.
            ProcessorError: The model could not be set up (code `missing_key`), or no credit is left
                (`quota_exceeded`).
        """
        from openai import LengthFinishReasonError  # noqa: PLC0415

        chat = self._chat(request.temperature, request.max_tokens, request.thinking)
        try:
            async with aclosing(self._read(_messages(chat, request), request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except LengthFinishReasonError:  # how langchain-openai says that JSON was cut; the text is lost
            yield Finished("length", self._model)
        except ProcessorError:
            raise
        except Exception as error:  # the providers' SDKs share no root; what is not known passes through
            if (known := translate(self._provider, error)) is None:
                raise
            raise known from error

    async def _read(
        self, messages: AsyncGenerator[AIMessageChunk, None], request: ChatRequest
    ) -> AsyncGenerator[ChatChunk, None]:
        model, usage = self._model, Usage()
        reason: FinishReason | None = None
        is_structured, is_refusal = request.json_schema is not None, False
        calls: dict[int, ToolCall] = {}
        async with aclosing(messages):
            async for message in messages:
                if text := str(message.text) or (_structured_text(message) if is_structured else ""):
                    yield TextDelta(text)
                if request.tools and not is_structured:
                    _add_calls(calls, message)
                if message.additional_kwargs.get("refusal"):
                    is_refusal = True
                usage = _plus(usage, message)
                reason = finish_reason(message.response_metadata) or reason
                model = message.response_metadata.get("model_name", model)
        if reason is None:
            raise upstream.cut(self._provider)
        if is_structured and reason == "tool-calls":
            reason = "stop"
        for _, call in sorted(calls.items()):
            yield call
        yield Finished("content-filter" if is_refusal else reason, model, usage)

    def _make(
        self, temperature: float | None, max_tokens: int | None, thinking: Thinking | None
    ) -> BaseChatModel:
        """Set up LangChain's model; the options are its constructor's, the one place where all providers agree."""
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - 0.4 s
        from openai import OpenAIError  # noqa: PLC0415

        options: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        given = {name: value for name, value in options.items() if value is not None}
        if thinking is not None:
            given |= thinking_options(self._provider, thinking)
        try:
            chat: BaseChatModel = init_chat_model(
                self._model, model_provider=self._langchain_name, max_retries=0, **self._connection(), **given
            )
        except (ValueError, OpenAIError) as error:  # pydantic's and most SDKs' complaints are ValueErrors
            raise ProcessorError(
                f"LangChain could not set up {self._id!r}; its API key may be missing in the environment.",
                code="missing_key",
                retryable=False,
            ) from error
        return chat

    @property
    def _langchain_name(self) -> str:
        return "openai" if self._provider == LANGCHAIN_OPENAI else self._provider

    def _connection(self) -> dict[str, Any]:
        if self._access is None:
            return {"timeout": self._timeouts.silence_s}
        return {
            "api_key": self._access.api_key,
            "base_url": self._access.base_url,
            "timeout": self._access.timeout,
            "http_async_client": self._access.http,  # LangChain's own belongs to the process and is never closed
            "stream_usage": True,  # LangChain's default is off for any address but OpenAI's own
        }


def thinking_options(provider: str, thinking: Thinking) -> Mapping[str, Any]:
    """Return how LangChain's model of a provider is told how much to reason; nothing where it takes no such wish.

    Args:
        provider: One of `PROVIDERS`.
        thinking: The wish.
    """
    match provider:
        case "langchain-openai" | "azure_openai":
            return {"reasoning_effort": EFFORTS[thinking]}
        case "anthropic" if thinking == "off":
            return {"thinking": {"type": "disabled"}}
        case "anthropic":
            return {"reasoning_effort": thinking}
        case "google_genai" if thinking == "off":
            return {"thinking_budget": 0}
        case "google_genai":
            return {"reasoning_effort": "high" if thinking == "max" else thinking}
        case _:
            return {}


def require_package(provider: str) -> None:
    """Check that a provider's integration is installed, without importing it.

    Raises:
        ProcessorError: It is not (code `missing_package`).
    """
    package = PROVIDERS[provider]
    if find_spec(package.replace("-", "_")) is None:
        raise ProcessorError(
            f"Models of {provider} need the package {package}: pip install {package}",
            code="missing_package",
            retryable=False,
        )


async def _messages(chat: BaseChatModel, request: ChatRequest) -> AsyncGenerator[AIMessageChunk, None]:
    turns = [_turn(message) for message in request.messages]
    if request.json_schema is None:
        speaker = chat.bind_tools([dict(tool) for tool in tools_json(request)]) if request.tools else chat
        async with aclosing(_closable(speaker.astream(turns))) as messages:
            async for message in messages:
                yield cast("AIMessageChunk", message)  # bind_tools promises the less exact type
        return
    schema = {**request.json_schema, "title": schema_name(request.json_schema)}
    structured = chat.with_structured_output(schema, include_raw=True)
    async with aclosing(_closable(structured.astream(turns))) as parts:
        async for part in parts:
            if isinstance(part, dict) and "raw" in part:
                yield part["raw"]


def _turn(message: ChatMessage) -> tuple[str, str] | dict[str, Any]:
    return (
        dict(message_json(message))
        if message.role == "tool" or message.tool_calls
        else (message.role, message.content)
    )


def _closable(items: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    """LangChain promises an iterator and returns a generator; closing it closes the connection."""
    return cast("AsyncGenerator[Item, None]", items)


def _structured_text(message: AIMessageChunk) -> str:
    """Return the JSON of a forced tool call, LangChain's way to structured output with some providers, or a refusal."""
    arguments = "".join(call["args"] or "" for call in message.tool_call_chunks)
    return arguments or message.additional_kwargs.get("refusal") or ""


def _plus(usage: Usage, message: AIMessageChunk) -> Usage:
    """Add what a piece says was used."""
    more = message.usage_metadata
    if more is None:
        return usage
    cached = more.get("input_token_details", {}).get("cache_read") or 0
    return Usage(
        usage.input_tokens + more["input_tokens"],
        usage.output_tokens + more["output_tokens"],
        usage.cached_tokens + cached,
    )


def _add_calls(calls: dict[int, ToolCall], message: AIMessageChunk) -> None:
    """Put the calls of tools together, whose arguments come in pieces."""
    for piece in message.tool_call_chunks:
        index = piece["index"] if isinstance(piece["index"], int) else len(calls)
        known = calls.get(index) or ToolCall(f"call_{index}", "", "")
        more = piece["args"] or ""
        calls[index] = ToolCall(piece["id"] or known.id, piece["name"] or known.name, known.arguments + more)


def finish_reason(metadata: Mapping[str, Any]) -> FinishReason | None:
    """Read why the model stopped from LangChain's `response_metadata`; None when it says nothing yet."""
    for key in _FINISH_KEYS:
        if isinstance(said := metadata.get(key), str):
            return _FINISH_REASONS.get(said.lower(), "other")
    return None
