"""What a scripted OpenAI-compatible server may answer, and how each answer looks on the wire.

Replies are values; turning one into the JSON of `chat.completion` or `chat.completion.chunk` is pure. The shapes are
those of https://platform.openai.com/docs/api-reference/chat, cut down to the fields that clients read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, assert_never

from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.llm.echo import split_words

_CREATED = 1_700_000_000

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
"""The smallest picture: one PNG pixel."""


@dataclass(frozen=True, slots=True)
class Text:
    """An ordinary answer.

    Attributes:
        text: The whole answer.
        chunks: How it is cut when streamed; None means word by word. Must join to `text` to be honest.
        finish_reason: What the last chunk says; None leaves it out: a stream that ends cleanly, yet incomplete.
    """

    text: str
    chunks: tuple[str, ...] | None = None
    finish_reason: str | None = "stop"


@dataclass(frozen=True, slots=True)
class JsonText:
    """An answer that is a JSON document."""

    value: JsonValue
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that declines: text in `refusal`, none in `content`."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool to be run.

    Attributes:
        also: Further calls of the same turn.
    """

    name: str
    arguments: JsonObject = field(default_factory=dict)
    call_id: str = "call_1"
    also: tuple[ToolCall, ...] = ()

    @property
    def together(self) -> tuple[ToolCall, ...]:
        """All calls of the turn, this one first."""
        return (self, *self.also)


@dataclass(frozen=True, slots=True)
class Status:
    """A refusal by HTTP status.

    Attributes:
        status: 400 to 599.
        retry_after_s: Sent as `Retry-After`, seconds.
        code: Machine-readable name in the body, such as `invalid_api_key`.
        message: Sentence in the body.
    """

    status: int
    retry_after_s: int | None = None
    code: str | None = None
    message: str = "scripted failure"


@dataclass(frozen=True, slots=True)
class Cut:
    """A connection that is closed in the middle of the stream, after `after` pieces of text."""

    after: int = 2
    text: str = "this answer never ends well"


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """A stream that breaks off with an `error` object after `after` pieces, as llama.cpp and vLLM do."""

    after: int = 1
    text: str = "this answer breaks off"
    message: str = "scripted failure"


@dataclass(frozen=True, slots=True)
class Slow:
    """An answer that takes its time: seconds before the first piece, and before each further one."""

    first_token_s: float = 0.0
    per_token_s: float = 0.0
    text: str = "slow but sure"


@dataclass(frozen=True, slots=True)
class Hang:
    """A server that accepts the request and says nothing until the client leaves."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture.

    Attributes:
        data: Its bytes, sent in base64.
        url: Sent instead of the bytes.
        tokens: What it used, in and out; None leaves usage out.
    """

    data: bytes = PIXEL
    url: str | None = None
    tokens: tuple[int, int] | None = (10, 100)


ImageReply: TypeAlias = Drawn | Status | Hang

Reply: TypeAlias = Text | JsonText | Refusal | ToolCall | Status | Cut | ErrorEvent | Slow | Hang
Spoken: TypeAlias = Text | JsonText | Refusal | ToolCall | Cut | ErrorEvent | Slow
"""Replies that begin with an answer; the others are a status or silence."""


def echo_last_user(request: JsonObject) -> Text:
    """Answer `scripted: ` and the last user message: the reply of a server without a script."""
    messages = request.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        for message in reversed(messages):
            if isinstance(message, Mapping) and message.get("role") == "user":
                return Text(f"scripted: {message.get('content')}")
    return Text("scripted: nothing was asked")


def completion(reply: Spoken, request: JsonObject) -> JsonObject:
    """Return the body of a `chat.completion`, for a request without `stream`."""
    message: dict[str, JsonValue] = {"role": "assistant", "content": _text(reply), "refusal": None}
    if isinstance(reply, Refusal):
        message |= {"content": None, "refusal": reply.text}
    if isinstance(reply, ToolCall):
        calls = [
            _tool_call(index, call, json.dumps(call.arguments)) for index, call in enumerate(reply.together)
        ]
        message |= {"content": None, "tool_calls": calls}
    return {
        **_head(request, "chat.completion"),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}],
        "usage": _usage(reply, request),
    }


def completion_chunks(reply: Spoken, request: JsonObject) -> list[JsonObject]:
    """Return the `chat.completion.chunk` objects of a streamed answer, in order, without `[DONE]`.

    The first carries only the role; then one per piece; then the finish reason; then, when the request has
    `stream_options.include_usage`, one with usage and no choices.
    """
    deltas = _deltas(reply)
    chunks = [_chunk(request, {"role": "assistant", "content": ""}), *(_chunk(request, d) for d in deltas)]
    if isinstance(reply, Cut):
        return chunks[: 1 + reply.after]
    if isinstance(reply, ErrorEvent):
        error: JsonObject = {"message": reply.message, "type": "server_error", "code": None}
        return [*chunks[: 1 + reply.after], {"error": error}]
    if (reason := _finish(reply)) is not None:
        chunks.append(_chunk(request, {}, reason))
    options = request.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        head = _head(request, "chat.completion.chunk")
        chunks.append({**head, "choices": [], "usage": _usage(reply, request)})
    return chunks


def images_response(reply: Drawn) -> JsonObject:
    """Return the body of an answer with a picture."""
    picture: JsonObject = (
        {"b64_json": base64.b64encode(reply.data).decode()} if reply.url is None else {"url": reply.url}
    )
    body: dict[str, JsonValue] = {"created": _CREATED, "data": [picture]}
    if reply.tokens is not None:
        asked, drawn = reply.tokens
        body["usage"] = {
            "input_tokens": asked,
            "output_tokens": drawn,
            "total_tokens": asked + drawn,
            "input_tokens_details": {"text_tokens": asked, "image_tokens": 0},
        }
    return body


def error_body(reply: Status) -> JsonObject:
    """Return the body OpenAI sends with a refusal."""
    return {"error": {"message": reply.message, "type": "scripted_error", "param": None, "code": reply.code}}


def _deltas(reply: Spoken) -> list[JsonObject]:
    match reply:
        case ToolCall():
            pieces: list[JsonObject] = []
            for index, call in enumerate(reply.together):
                written: JsonObject = {"arguments": json.dumps(call.arguments)}
                pieces += [_tool_call(index, call, ""), {"index": index, "function": written}]
            return [{"tool_calls": [piece]} for piece in pieces]
        case Refusal():
            return [{"refusal": piece} for piece in split_words(reply.text)]
        case Text() if reply.chunks is not None:
            return [{"content": piece} for piece in reply.chunks]
        case Text() | JsonText() | Cut() | ErrorEvent() | Slow():
            return [{"content": piece} for piece in split_words(_text(reply))]
        case _:
            assert_never(reply)


def _text(reply: Spoken) -> str:
    match reply:
        case JsonText():
            return json.dumps(reply.value)
        case ToolCall():
            return ""
        case Text() | Refusal() | Cut() | ErrorEvent() | Slow():
            return reply.text
        case _:
            assert_never(reply)


def _finish(reply: Spoken) -> str | None:
    match reply:
        case Text() | JsonText():
            return reply.finish_reason
        case ToolCall():
            return "tool_calls"
        case Refusal() | Cut() | ErrorEvent() | Slow():
            return "stop"
        case _:
            assert_never(reply)


def _tool_call(index: int, call: ToolCall, arguments: str) -> JsonObject:
    function: JsonObject = {"name": call.name, "arguments": arguments}
    return {"index": index, "id": call.call_id, "type": "function", "function": function}


def _head(request: JsonObject, kind: str) -> dict[str, JsonValue]:
    model = request.get("model", "scripted")
    return {"id": "chatcmpl-scripted", "object": kind, "created": _CREATED, "model": model}


def _chunk(request: JsonObject, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
    choice: JsonObject = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**_head(request, "chat.completion.chunk"), "choices": [choice]}


def _usage(reply: Spoken, request: JsonObject) -> JsonObject:
    """Count words: real enough to assert on, and the same for every run."""
    asked = len(json.dumps(request.get("messages", [])).split())
    answered = len(_text(reply).split())
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
