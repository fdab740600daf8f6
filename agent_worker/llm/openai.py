"""`openai/<model>`: OpenAI, and every server that speaks its chat completions (vLLM, llama.cpp, Ollama, gateways).

The local model is one of those servers too, so this file is also its client.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from agent_worker.domain.chat import ChatChunk, ChatRequest, Finished, FinishReason, TextDelta, Usage
from agent_worker.domain.errors import ProcessorError
from agent_worker.llm import upstream
from agent_worker.llm.json_schema import is_strict, schema_name
from agent_worker.llm.openai_access import OpenAIAccess

if TYPE_CHECKING:
    import openai
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
    from openai.types.shared_params import ResponseFormatJSONSchema

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
    "function_call": "tool-calls",
}


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
            raise _status_error(self._provider, error) from error
        except openai.APITimeoutError as error:
            raise upstream.silent(self._provider) from error
        except openai.APIConnectionError as error:
            raise upstream.unreachable(self._provider) from error
        except (openai.APIError, json.JSONDecodeError) as error:  # an error event, or no JSON at all
            raise upstream.broken(self._provider) from error

    async def _send(self, request: ChatRequest) -> openai.AsyncStream[ChatCompletionChunk]:
        from openai import omit  # noqa: PLC0415

        limit = omit if request.max_tokens is None else request.max_tokens
        # OpenAI's reasoning models refuse max_tokens, which OpenAI has deprecated; other servers all know
        # max_tokens and some nothing else.
        is_openai = self._access.is_openai
        return await self._access.client.chat.completions.create(
            model=self._model,
            messages=[
                cast("ChatCompletionMessageParam", {"role": m.role, "content": m.content})
                for m in request.messages
            ],
            stream=True,
            stream_options={"include_usage": True},
            temperature=omit if request.temperature is None else request.temperature,
            max_completion_tokens=limit if is_openai else omit,
            max_tokens=omit if is_openai else limit,
            response_format=omit if request.json_schema is None else _response_format(request),
        )

    async def _read(self, stream: openai.AsyncStream[ChatCompletionChunk]) -> AsyncGenerator[ChatChunk, None]:
        model, usage = self._model, Usage()
        reason: FinishReason | None = None
        is_refusal = False
        async for chunk in stream:
            model = chunk.model or model
            if chunk.usage is not None:
                usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                if choice.delta.content:
                    yield TextDelta(choice.delta.content)
                if choice.delta.refusal:
                    is_refusal = True
                    yield TextDelta(choice.delta.refusal)
                if choice.finish_reason is not None:
                    reason = _FINISH_REASONS.get(choice.finish_reason, "other")
        if reason is None:
            raise upstream.cut(self._provider)
        yield Finished("content-filter" if is_refusal else reason, model, usage)


def _status_error(provider: str, error: openai.APIStatusError) -> ProcessorError:
    retry_after_s = upstream.parse_retry_after(error.response.headers, now=datetime.now(UTC))
    return upstream.refused(
        provider, error.status_code, code=error.code or error.type, retry_after_s=retry_after_s
    )


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
