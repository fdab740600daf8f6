"""Kinds that make a moment long enough to look at."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.task import Task


class Count:
    """Say the numbers from 1 to `to`, one every `pause_ms`, each with the time at which it was said.

    Before the last one it waits for `file` to appear, if one is named.
    """

    kind = "count"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        """Answer `{"answer": "1 2 3 …"}`."""
        to, pause_s = int(str(task.request_payload["to"])), int(str(task.request_payload["pause_ms"])) / 1000
        gate = Path(str(task.request_payload.get("file", "/")))
        for number in range(1, to + 1):
            if number == to:
                await _opened(gate)
            await ctx.emit_text(f"{number}@{time.time() * 1000:.0f} ")
            await asyncio.sleep(pause_s)
        return {"answer": " ".join(str(number) for number in range(1, to + 1))}


class Gate:
    """Say "waiting", then wait for a file to appear."""

    kind = "gate"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        """Answer `{"answer": "through", "attempt": n}`."""
        await ctx.emit_text(f"waiting in attempt {task.attempt}")
        gate = Path(str(task.request_payload["file"]))
        await _opened(gate)
        return {"answer": "through", "attempt": task.attempt}


class Approve:
    """Ask a person."""

    kind = "approve"

    async def process(self, task: Task, ctx: TaskContext) -> JsonObject:
        """Answer `{"answer": "…"}` with what the person said."""
        response = await ctx.ask_human("approval", str(task.request_payload["prompt"]))
        return {"answer": "approved" if response["approved"] else "refused"}


async def _opened(gate: Path) -> None:
    while not gate.exists():  # noqa: ASYNC110 - the file is made by another process
        await asyncio.sleep(0.02)
