"""`openai/<model>`: OpenAI, and every server that speaks its chat completions (vLLM, llama.cpp, Ollama, gateways).

The local model is one of those servers too, so this file is also its client.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from agent_worker.domain.chat import (
    ChatChunk,
    ChatMessage,
    ChatRequest,
    Finished,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    Thinking,
    ToolCall,
    Usage,
)
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.llm import upstream
from agent_worker.llm.json_schema import is_strict, schema_name
from agent_worker.llm.openai_access import OpenAIAccess
from agent_worker.llm.openai_errors import translate

if TYPE_CHECKING:
    import openai
    from openai.types.chat import (
        ChatCompletionChunk,
        ChatCompletionMessageParam,
        ChatCompletionToolUnionParam,
    )
    from openai.types.chat.chat_completion_chunk import ChoiceDelta
    from openai.types.completion_usage import CompletionUsage
    from openai.types.shared_params import ResponseFormatJSONSchema
    from openai.types.shared_params.reasoning_effort import ReasoningEffort

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}
EFFORTS: dict[Thinking, ReasoningEffort] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "xhigh",
    "off": "none",
}
"""https://platform.openai.com/docs/guides/reasoning"""


class OpenAIChat:
    """A model behind an OpenAI-compatible server.

    Args:
        id: `provider/model`; the server is asked for what stands after the first slash.
        access: The server.
    """

    def __init__(self, id: str, access: OpenAIAccess) -> None:  # noqa: A002 - the port's name
        self._id = id
        self._provider, _, self._model = id.partition("/")
        self._access = access

    @property
    def id(self) -> str:
        """`provider/model`."""
        return self._id

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk, None]:
        """Yield text as it comes, then `Finished`. Closing the generator closes the connection.

        A refusal by the model (structured output) comes as text and ends with the reason `content-filter`.

        Raises:
            UpstreamError: The server refused, broke or cut the stream.
            ProcessorError: The account has no credit left (code `quota_exceeded`).
        """
        import openai  # noqa: PLC0415 - 0.5 s, paid by the first task that needs it

        try:
            async with await self._send(request) as stream, aclosing(self._read(stream)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except openai.APIStatusError as error:
            if error.code == "content_filter":  # Azure refuses the prompt before the stream begins
                yield Finished("content-filter", self._model)
                return
            raise translate(self._provider, error) from error
        except (openai.APIError, json.JSONDecodeError) as error:
            raise translate(self._provider, error) from error

    async def _send(self, request: ChatRequest) -> openai.AsyncStream[ChatCompletionChunk]:
        from openai import omit  # noqa: PLC0415

        limit = omit if request.max_tokens is None else request.max_tokens
        # OpenAI's reasoning models refuse max_tokens, which OpenAI has deprecated; other servers all know
        # max_tokens and some nothing else.
        is_openai = self._access.is_openai
        return await self._access.client.chat.completions.create(
            model=self._model,
            messages=[cast("ChatCompletionMessageParam", message_json(m)) for m in request.messages],
            stream=True,
            stream_options={"include_usage": True},
            temperature=omit if request.temperature is None else request.temperature,
            max_completion_tokens=limit if is_openai else omit,
            max_tokens=omit if is_openai else limit,
            response_format=omit if request.json_schema is None else _response_format(request),
            tools=[cast("ChatCompletionToolUnionParam", each) for each in tools_json(request)] or omit,
            reasoning_effort=omit if request.thinking is None else EFFORTS[request.thinking],
        )

    async def _read(self, stream: openai.AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[ChatChunk, None]:
        model, usage = self._model, Usage()
        reason: FinishReason | None = None
        is_refusal = False
        calls = _Calls()
        async for chunk in stream:
            model = chunk.model or model
            if chunk.usage is not None:
                usage = _usage(chunk.usage)
            for choice in chunk.choices:
                calls.add(choice.delta)
                if thought := _reasoning(choice.delta):
                    yield ReasoningDelta(thought)
                if choice.delta.content:
                    yield TextDelta(choice.delta.content)
                if choice.delta.refusal:
                    is_refusal = True
                    yield TextDelta(choice.delta.refusal)
                if choice.finish_reason is not None:
                    reason = _FINISH_REASONS.get(choice.finish_reason, "other")
        if reason is None:
            raise upstream.cut(self._provider)
        for call in calls.complete():
            yield call
        yield Finished("content-filter" if is_refusal else reason, model, usage)


class _Calls:
    """Puts the calls of tools together, whose arguments come in pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, ToolCall] = {}

    def add(self, delta: ChoiceDelta) -> None:
        """Take what a chunk brings."""
        for piece in delta.tool_calls or ():
            known = self._calls.get(piece.index) or ToolCall(f"call_{piece.index}", "", "")
            name = piece.function.name if piece.function is not None else None
            more = piece.function.arguments if piece.function is not None else None
            self._calls[piece.index] = ToolCall(
                piece.id or known.id, name or known.name, known.arguments + (more or "")
            )

    def complete(self) -> list[ToolCall]:
        """Return the calls in order."""
        return [self._calls[index] for index in sorted(self._calls)]


def _usage(usage: CompletionUsage) -> Usage:
    details = usage.prompt_tokens_details
    cached = None if details is None else details.cached_tokens
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached or 0)


def _reasoning(delta: ChoiceDelta) -> str:
    """Return what llama.cpp, vLLM and DeepSeek show of a model's thoughts; OpenAI shows nothing here."""
    thought = (delta.model_extra or {}).get("reasoning_content")
    return thought if isinstance(thought, str) else ""


def message_json(message: ChatMessage) -> JsonObject:
    """Write a turn as OpenAI's chat completions take it."""
    said: dict[str, JsonValue] = {"role": message.role, "content": message.content}
    if message.tool_call_id is not None:
        said["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        said["content"] = message.content or None
        said["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return said


def tools_json(request: ChatRequest) -> list[JsonObject]:
    """Write the tools as OpenAI's chat completions take them."""
    return [
        {
            "type": "function",
            "function": {
                "name": each.name,
                "description": each.description,
                "parameters": each.parameters,
            },
        }
        for each in request.tools
    ]


def _response_format(request: ChatRequest) -> ResponseFormatJSONSchema:
    schema = dict(request.json_schema or {})
    return {
        "type": "json_schema",
        "json_schema": {
            "name": schema_name(schema),
            "schema": cast("dict[str, object]", schema),
            "strict": is_strict(schema),
        },
    }
