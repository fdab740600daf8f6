"""What a task says while it runs: one vocabulary for chat, pipelines, functions and agents.

Names and fields are those of the worker protocol's stream (`start`, `text-delta`, `tool-input-available`,
`client-tool-request`, `finish`, `error` …), plus the engine's own: `attempt-start` and `attempt-failed`.
Optional fields are left out, never null: stream clients drop an event with a null in an optional field.

An event is one row of `agent_task_events`; `seq` counts from 1 without a gap within its task. A new attempt
begins with `attempt-start {attempt, resume, keep}`: a client drops what it shows from earlier attempts, except
events whose `data.step` is listed in `keep`, for those steps are finished and will not speak again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent_worker.domain.json import JsonObject, JsonValue

ATTEMPT_START = "attempt-start"
ATTEMPT_FAILED = "attempt-failed"
START = "start"
FINISH = "finish"
USAGE = "usage"
ERROR = "error"
TEXT_START = "text-start"
TEXT_DELTA = "text-delta"
TEXT_END = "text-end"
CLIENT_TOOL_REQUEST = "client-tool-request"
HUMAN_REQUEST = "human-request"
HUMAN_ANSWER = "human-answer"

_TYPE = re.compile(r"[a-z][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        type: A name of the vocabulary, or your own in the same shape (`seat-reserved`).
        data: Its fields, a JSON object, without the type.

    Raises:
        ValueError: The type is not lower-case words joined by dashes, at most 64 characters.
    """

    type: str
    data: JsonObject

    def __post_init__(self) -> None:
        if not _TYPE.fullmatch(self.type):
            raise ValueError(
                f"event type {self.type!r} must be lower-case words joined by dashes, at most 64 characters"
            )


def attempt_start(*, attempt: int, resume: str, keep: Sequence[str]) -> Event:
    """Say that an attempt begins, and which steps' events still stand."""
    return Event(ATTEMPT_START, {"attempt": attempt, "resume": resume, "keep": list(keep)})


def attempt_failed(*, attempt: int, code: str, message: str, retry_in_s: float) -> Event:
    """Say that an attempt failed and another one follows."""
    return Event(
        ATTEMPT_FAILED,
        {"attempt": attempt, "code": code, "error": message, "retryInS": round(retry_in_s, 3)},
    )


def start(execution_id: str) -> Event:
    """Open the stream; `execution_id` is the task's id."""
    return Event(START, {"executionId": execution_id})


def finish(reason: str, execution_id: str) -> Event:
    """Close the stream: `stop`, `length`, `tool-calls`, `client-tool-calls`, `content-filter`, `error`, `other`."""
    return Event(FINISH, {"finishReason": reason, "executionId": execution_id})


def usage(*, input_tokens: int, output_tokens: int, cost_usd: float) -> Event:
    """Say what a run used; it comes after `finish` of a run that has ended well, and after nothing else.

    Args:
        input_tokens: What models read, over all calls.
        output_tokens: What they wrote.
        cost_usd: What providers bill for it, as far as prices are known.
    """
    fee = round(cost_usd, 9)
    return Event(
        USAGE,
        {
            "cost": {"currency": "USD", "bandwidthFee": 0, "providerFee": fee, "totalFee": fee, "byok": True},
            "tokens": {
                "inputTokens": input_tokens,
                "outputTokens": output_tokens,
                "totalTokens": input_tokens + output_tokens,
            },
        },
    )


def error(*, code: str, message: str, retryable: bool) -> Event:
    """Close the stream with the task's failure; `errorType` is the stream clients' coarse class of it."""
    return Event(
        ERROR,
        {
            "errorType": error_type(code),
            "message": message,
            "retryable": retryable,
            "source": _source(code),
            "code": code,
        },
    )


def error_type(code: str) -> str:
    """Return the stream clients' coarse class of a failure."""
    return _ERROR_TYPES.get(code, "execution_error")


def _source(code: str) -> str:
    if code in _PROVIDER_CODES:
        return "provider"
    return "tool" if error_type(code) == "tool_error" else "platform"


def text_start(text_id: str) -> Event:
    """Open one block of streamed text."""
    return Event(TEXT_START, {"id": text_id})


def text_delta(text_id: str, delta: str) -> Event:
    """Add to a block of streamed text."""
    return Event(TEXT_DELTA, {"id": text_id, "delta": delta})


def text_end(text_id: str) -> Event:
    """Close one block of streamed text."""
    return Event(TEXT_END, {"id": text_id})


def client_tool_request(execution_id: str, tool_calls: Sequence[JsonObject]) -> Event:
    """Ask the client to run tools: each `{toolCallId, toolName, args}`."""
    return Event(CLIENT_TOOL_REQUEST, {"executionId": execution_id, "toolCalls": list(tool_calls)})


def human_request(
    *, key: str, kind: str, title: str, description: str = "", form: JsonObject | None = None
) -> Event:
    """Say that a row in `human_tasks` now waits for a person; description and form only where there are any."""
    fields: JsonObject = {"key": key, "type": kind, "title": title}
    more: JsonObject = {"description": description, "form": form}
    return Event(HUMAN_REQUEST, {**fields, **{name: value for name, value in more.items() if value}})


def human_answer(*, key: str, response: JsonObject) -> Event:
    """Say what a person has answered to the question `key`."""
    return Event(HUMAN_ANSWER, {"key": key, "response": response})


def human_silence(*, key: str, reason: str) -> Event:
    """Say why nobody will answer the question `key`."""
    return Event(HUMAN_ANSWER, {"key": key, "error": reason})


def with_step(event: Event, step: str | None) -> Event:
    """Mark an event as spoken inside a step, so that clients know whether it outlives a new attempt."""
    return event if step is None else Event(event.type, {**event.data, "step": step})


_PROVIDER_CODES = frozenset(
    {
        "rate_limited",
        "upstream_unreachable",
        "upstream_unauthorized",
        "upstream_timeout",
        "upstream_error",
        "upstream_refused",
        "model_not_found",
    }
)
_ERROR_TYPES: dict[str, str] = {
    "invalid_payload": "validation_error",
    "unknown_kind": "not_found_error",
    "unknown_definition": "not_found_error",
    "model_not_found": "not_found_error",
    "rate_limited": "rate_limit_error",
    "upstream_unauthorized": "authentication_error",
    "upstream_timeout": "provider_timeout",
    "upstream_unreachable": "provider_error",
    "upstream_error": "provider_error",
    "upstream_refused": "provider_error",
    "provider_paused": "provider_overloaded",
    "missing_key": "authentication_error",
    "unknown_model": "not_found_error",
    "quota_exceeded": "quota_exceeded_error",
    "limit_exceeded": "quota_exceeded_error",
    "invalid_model_output": "provider_error",
    "tool_failed": "tool_error",
    "invalid_arguments": "tool_error",
    "internal_error": "internal_error",
}


class DeltaBuffer:
    """Joins streamed text so that a fast model costs a row per 50 ms or KiB, not a row per token.

    Holds at most one run of deltas of one text block. Anything else that is emitted first takes out what is
    held, so order is kept.
    """

    __slots__ = ("_max_bytes", "_parts", "_size", "_step", "_text_id")

    def __init__(self, *, max_bytes: int = 1024) -> None:
        self._max_bytes = max_bytes
        self._text_id = ""
        self._step: str | None = None
        self._parts: list[str] = []
        self._size = 0

    def add(self, text_id: str, delta: str, step: str | None = None) -> list[Event]:
        """Hold `delta`; return what is now due: a run of another block, and a run that reached `max_bytes`."""
        due = self.take() if self._parts and (text_id, step) != (self._text_id, self._step) else []
        self._text_id, self._step = text_id, step
        self._parts.append(delta)
        self._size += len(delta.encode("utf-8", "surrogatepass"))
        return due + self.take() if self._size >= self._max_bytes else due

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._parts

    def take(self) -> list[Event]:
        """Return what is held as one event, or nothing."""
        if not self._parts:
            return []
        event = with_step(text_delta(self._text_id, "".join(self._parts)), self._step)
        self._parts, self._size = [], 0
        return [event]


def visible_events(rows: Sequence[tuple[str, JsonObject]]) -> list[tuple[str, JsonObject]]:
    """Keep what a client should show: drop earlier attempts' events unless their step is finished.

    Args:
        rows: `(type, data)` in order of `seq`.
    """
    shown: list[tuple[str, JsonObject]] = []
    for kind, data in rows:
        if kind == ATTEMPT_START:
            keep = _strings(data.get("keep"))
            shown = [row for row in shown if row[1].get("step") in keep]
        else:
            shown.append((kind, data))
    return shown


def _strings(value: JsonValue) -> frozenset[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return frozenset()
    return frozenset(item for item in value if isinstance(item, str))
