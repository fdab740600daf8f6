"""A processor that does what its task tells it to, and notes every turn outside of the queue."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from agent_worker import ProcessorError, Task, TaskContext


class Player:
    """Play `plan`, a list of moves, and answer `n`.

    Each note is one line of JSON in the file LEDGER: a killed process has written its lines whole or not at all, and a
    database that is away takes none of them.
    """

    kind = "play"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        run = _Run(task)
        run.note("start")
        try:
            for move in task.request_payload["plan"]:
                await run.play(move, ctx)
        finally:
            run.note("end")
        return {"answer": task.request_payload["n"], "run": run.id}


class _Run:
    """One run of a plan, from its first move."""

    def __init__(self, task: Task) -> None:
        self.id = uuid4().hex
        self._task = task

    async def play(self, move: str, ctx: TaskContext) -> None:
        verb, _, what = move.partition(":")
        match verb:
            case "say":
                await ctx.emit_text(what)
            case "work":
                await asyncio.sleep(float(what))
            case "block":
                time.sleep(float(what))  # noqa: ASYNC251 - the fault under test
            case "step":
                await ctx.step(what, lambda: self._take_effect(what, ctx))
                self.note("done", what)
            case "ask":
                await ctx.ask_human(what, "Go on?")
            case "child":
                child = await ctx.spawn("play", {"n": 0, "plan": ["say:child", "step:child"]}, key=what)
                await ctx.wait(child)
            case "fail":
                if self._task.attempt <= int(what):
                    raise ProcessorError("It was told to.", code="told_to", retryable=True)
            case _:
                raise ValueError(move)

    async def _take_effect(self, key: str, ctx: TaskContext) -> str:
        await ctx.emit_text(f"in step {key}")
        self.note("effect", key)
        return key

    def note(self, what: str, key: str = "") -> None:
        note(what, task=str(self._task.id), attempt=self._task.attempt, run=self.id, key=key)


def note(what: str, **facts: Any) -> None:
    """Add a line to the ledger; facts of another process name its `pid`."""
    line = json.dumps({"what": what, "at": time.time(), "pid": os.getpid(), **facts})
    with Path(os.environ["LEDGER"]).open("a") as ledger:
        ledger.write(line + "\n")
