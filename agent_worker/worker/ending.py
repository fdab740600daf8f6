"""Rules for the end of an attempt: is the response storable, and what do those hear who follow the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_worker.domain import events as ev
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonValue, dump_json
from agent_worker.domain.outcome import Cancel, Completed, Failed, Outcome, Release, Retry
from agent_worker.domain.replay import Parked
from agent_worker.domain.task import Task

if TYPE_CHECKING:  # the processes of the pool need this module and have no use for a database driver
    from agent_worker.worker.context import LiveContext

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""Largest response payload, the same as the limit of a request payload."""


def completed(task: Task, response: JsonValue) -> Completed | Failed:
    """Check what a processor returned: a JSON object that the database can store."""
    if not isinstance(response, dict):
        message = f"The processor returned {type(response).__name__}; it must return a JSON object (a dict)."
        return Failed(message, code="invalid_response", retryable=False)
    try:
        text = dump_json(response)
    except (ValueError, TypeError, RecursionError) as exc:
        return Failed(
            f"The processor's response is not JSON: {exc}.", code="invalid_response", retryable=False
        )
    if len(text) > MAX_RESPONSE_BYTES:
        message = f"The response of the {task.kind} task takes {len(text):,} bytes; the limit is {MAX_RESPONSE_BYTES:,}."
        return Failed(message, code="response_too_large", retryable=False)
    return Completed(text)


def deciding(error: BaseException) -> BaseException:
    """Return what decides in a group: a question that was asked, or else the first error."""
    first = error
    if isinstance(error, BaseExceptionGroup):
        first = error.subgroup(Parked) or error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def closing_events(task: Task, ctx: LiveContext, outcome: Outcome) -> list[Event]:
    """Say how the attempt ended."""
    match outcome:
        case Completed() if ctx.has_spoken and not ctx.has_finished_stream:
            return [ev.finish("stop", str(task.id))]
        case Failed(message, code, retryable):
            return [ev.error(code=code, message=message, retryable=retryable)]
        case Retry(message, code, delay_s):
            return [ev.attempt_failed(attempt=task.attempt, code=code, message=message, retry_in_s=delay_s)]
        case Release(delay_s, message, code) if delay_s:
            return [ev.attempt_failed(attempt=task.attempt, code=code, message=message, retry_in_s=delay_s)]
        case Cancel(message) if ctx.has_spoken:
            return [ev.error(code="cancelled", message=message, retryable=False)]
        case _:
            return []
