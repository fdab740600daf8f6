"""Do for a processor in another process what it asks of its context."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonValue
from agent_worker.worker.context import LiveContext

_MISSING: Any = object()


async def answer(ctx: LiveContext, name: str, given: dict[str, Any]) -> JsonValue:  # noqa: C901, PLR0911, PLR0912 - one flat list
    """Make one call and return its result as JSON.

    Args:
        ctx: Of the attempt.
        name: A call of `RemoteTaskContext`, which knows what each returns.
        given: Its arguments.

    Raises:
        Parked: The attempt has to end and wait for an answer.
        Exception: Whatever the context raises.
    """
    match name:
        case "emit":
            await ctx.emit(Event(given["type"], given["data"]))
        case "emit_text":
            await ctx.emit_text(given["delta"])
        case "progress":
            await ctx.progress(given["percent"], given["note"])
        case "get":
            found = await ctx.checkpoint.get(given["key"], _MISSING)
            return None if found is _MISSING else {"value": found}
        case "put":
            await ctx.checkpoint.put(given["key"], given["value"])
        case "finished_step":
            finished = ctx.finished_step(given["key"])
            return None if finished is None else {"value": finished.value}
        case "finish_step":
            await ctx.finish_step(given["key"], given["value"])
        case "definition":
            return (await ctx.definition(given["reference"], given["version"])).as_json()
        case "spawn":
            return str(await ctx.spawn(given["kind"], given["payload"], key=given["key"]))
        case "wait":
            return await ctx.wait(UUID(given["child"]))
        case "ask_human":
            question = given["question"]
            if question.get("assignee") is not None:
                question["assignee"] = UUID(question["assignee"])
            return await ctx.ask_human(given["key"], given["title"], **question)
        case "ask_client":
            return await ctx.ask_client(given["key"], given["tool_calls"], timeout_s=given["timeout_s"])
    return None
