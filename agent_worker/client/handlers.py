"""Tools that run in the client: functions by name, side by side."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from agent_worker.domain.json import JsonObject, JsonValue, dump_json

ToolHandler: TypeAlias = Callable[[dict[str, Any]], Any]
"""Takes a call's arguments and returns what JSON can hold, or a coroutine that does."""

ToolHandlers: TypeAlias = Mapping[str, ToolHandler]


async def run_handlers(handlers: ToolHandlers, calls: Sequence[JsonObject]) -> list[JsonObject]:
    """Make calls side by side and return their results in order; an error of one is its result.

    Args:
        handlers: Has one for each call.
        calls: Each `{toolCallId, toolName, args}`.
    """
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(_result(handlers[str(call["toolName"])], call)) for call in calls]
    return [task.result() for task in made]


async def _result(handler: ToolHandler, call: JsonObject) -> JsonObject:
    named = {"toolCallId": call["toolCallId"], "toolName": call["toolName"]}
    try:
        return {**named, "result": await _run(handler, call["args"])}
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is the run's to deal with
        return {**named, "error": str(error) or type(error).__name__}


async def _run(handler: ToolHandler, arguments: JsonValue) -> JsonValue:
    given = dict(arguments) if isinstance(arguments, Mapping) else {}
    if inspect.iscoroutinefunction(handler):
        result = await handler(given)
    else:
        result = await asyncio.to_thread(handler, given)
        if inspect.isawaitable(result):
            result = await result
    try:
        dump_json(result)
    except (TypeError, ValueError) as error:
        raise TypeError(f"The tool's result is no JSON: {error}") from error
    return result  # type: ignore[no-any-return]  # JSON, as just seen
