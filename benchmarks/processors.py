"""Our own handlers, for `agent-worker run --processor benchmarks/processors.py:Measured`."""

from __future__ import annotations

import asyncio
import time

from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task
from benchmarks.tally import Tally

tally = Tally()


class Measured:
    """Does what the environment says (see `tally`)."""

    kind = tally.kind

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:  # noqa: ARG002 - the protocol's
        """Return an empty result."""
        await tally.handle(lambda: task.request_payload["seq"])
        return {}


class Speaking:
    """Says when it says it, on the monotonic clock, and goes on for a while as a model does."""

    kind = "speak"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:  # noqa: ARG002 - the protocol's
        """Return an empty result."""
        await ctx.emit_text(str(time.monotonic_ns()))
        await asyncio.sleep(0.2)
        return {}
