"""Processors for the command line's tests, offered with --processor."""

from __future__ import annotations

import asyncio

from agent_worker import JsonObject, Task, TaskContext, UpstreamError


class Slow:
    """Runs for `seconds`; the file `started` in the payload says that it runs."""

    kind = "slow"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        await ctx.emit_text("running")
        await asyncio.sleep(float(str(task.request_payload["seconds"])))
        return {"answer": "done"}


class Flaky:
    """Is refused at the first attempt."""

    kind = "flaky"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        await ctx.emit_text(f"attempt {task.attempt}")
        if task.attempt == 1:
            raise UpstreamError("The provider is busy.", provider="test", status=429)
        return {"answer": "at last"}
