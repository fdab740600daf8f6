"""Which events clients of the worker protocol take: what they refuse, they drop without a word.

Written from the protocol's types, field by field: a type that is unknown, a field that is missing or of another kind, or
a null where a field is optional makes the whole event vanish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]

REASONS = ("stop", "tool-calls", "client-tool-calls", "length", "content-filter", "error", "other")
ERRORS = (
    *("authentication_error", "permission_error", "validation_error", "not_found_error", "rate_limit_error"),
    *("quota_exceeded_error", "provider_error", "provider_overloaded", "provider_timeout", "execution_error"),
    *("tool_error", "protocol_error", "internal_error", "unknown_error"),
)
DISPLAYS = ("hidden", "name", "description", "stream", "title")


def text(value: Any) -> bool:
    return isinstance(value, str)


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def flag(value: Any) -> bool:
    return isinstance(value, bool)


def mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def anything(_value: Any) -> bool:
    return True


def one_of(*names: str) -> Check:
    return lambda value: value in names


def fields(**wanted: Check) -> Check:
    """Check an object's fields; `name_` is optional."""

    def check(value: Any) -> bool:
        return mapping(value) and problem_of(value, wanted) is None

    return check


def each(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


CALL = fields(
    toolCallId=text,
    toolName=text,
    args=mapping,
    source_=one_of("llm", "block"),
    outputVariable_=text,
    blockIndex_=number,
    thread_=text,
    workerId_=text,
)
RESULT = fields(toolCallId=text, toolName_=text, result_=anything, error_=text)
PROVIDER = fields(name=text, model_=text, statusCode_=number, errorType_=text, requestId_=text)
TODO = fields(id=text, content=text, status=one_of("pending", "in_progress", "completed", "cancelled"))
COST = fields(currency=text, bandwidthFee=number, providerFee=number, totalFee=number, byok=flag)
TOKENS = fields(inputTokens=number, outputTokens=number, totalTokens=number)

W: dict[str, Check] = {"workerId_": text}
EVENTS: dict[str, dict[str, Check]] = {
    "start": {"messageId_": text, "executionId_": text, "lastMessageId_": text, "sessionId_": text},
    "finish": {"finishReason": one_of(*REASONS), "executionId_": text},
    "error": {
        "errorType": one_of(*ERRORS),
        "message": text,
        "retryable": flag,
        "source": one_of("platform", "provider", "tool", "client"),
        "retryAfter_": number,
        "code_": text,
        "provider_": PROVIDER,
        "tool_": fields(name=text, callId_=text),
    },
    "text-start": {"id": text, "responseType_": text, **W},
    "text-delta": {"id": text, "delta": text, **W},
    "text-end": {"id": text, **W},
    "reasoning-start": {"id": text, **W},
    "reasoning-delta": {"id": text, "delta": text, **W},
    "reasoning-end": {"id": text, **W},
    "tool-input-start": {
        "toolCallId": text,
        "toolName": text,
        "title_": text,
        "display_": one_of(*DISPLAYS),
        **W,
    },
    "tool-input-delta": {"toolCallId": text, "inputTextDelta": text, **W},
    "tool-input-end": {"toolCallId": text, **W},
    "tool-input-available": {"toolCallId": text, "toolName": text, "input": anything, **W},
    "tool-output-available": {"toolCallId": text, "output": anything, **W},
    "tool-output-error": {"toolCallId": text, "error": text, **W},
    "source": {
        "sourceType": one_of("url", "document"),
        "id": text,
        "url_": text,
        "mediaType_": text,
        "title_": text,
        "filename_": text,
        **W,
    },
    "file-available": {
        "id": text,
        "mediaType": text,
        "url": text,
        "filename_": text,
        "size_": number,
        "toolCallId_": text,
        **W,
    },
    "todo-update": {"todos": each(TODO), **W},
    "block-start": {
        "blockId": text,
        "blockName": text,
        "blockType": text,
        "display": one_of(*DISPLAYS),
        "description_": text,
        "outputToChat_": flag,
        "thread_": text,
        **W,
    },
    "block-end": {"blockId": text, "summary_": text, **W},
    "resource-update": {"name": text, "value": anything},
    "tool-request": {"toolCalls": each(CALL), **W},
    "client-tool-request": {
        "executionId": text,
        "toolCalls": each(CALL),
        "serverToolResults_": each(RESULT),
    },
    "worker-start": {"workerId": text, "workerSlug": text, "description_": text, "input_": mapping},
    "worker-result": {"workerId": text, "output_": anything, "error_": text},
    "worker-input-start": {"workerId": text, "workerSlug": text, "description_": text},
    "worker-input-delta": {"workerId": text, "delta": text},
    "worker-input-ready": {"workerId": text, "input": mapping},
    "usage": {"cost": COST, "tokens": TOKENS},
}


def problem(event: Mapping[str, Any]) -> str | None:
    """Return why clients would drop an event, or None."""
    wanted = EVENTS.get(event["type"])
    if wanted is None:
        return f"unknown type {event['type']}"
    if event["type"] == "source":
        needed = ("url",) if event.get("sourceType") == "url" else ("title", "mediaType")
        if missing := [name for name in needed if name not in event]:
            return f"a source without its {missing[0]}"
    known = {"type", *(name.removesuffix("_") for name in wanted)}
    if unknown := set(event) - known:
        return f"unknown fields {unknown}"
    return problem_of(event, wanted)


def problem_of(value: Mapping[str, Any], wanted: Mapping[str, Check]) -> str | None:
    for written, check in wanted.items():
        name = written.removesuffix("_")
        if name not in value:
            if not written.endswith("_"):
                return f"{name} is missing"
        elif not check(value[name]):
            return f"{name} is {value[name]!r}"
    return None
