"""Processors that do what their task's payload says."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from agent_worker import Event, ProcessorError, Task, TaskContext
from agent_worker.worker.threads import SyncTaskContext


class Say:
    """Stream `text` word by word and answer with it."""

    kind = "say"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        words = str(task.request_payload["text"]).split(" ")
        for n, word in enumerate(words):
            await ctx.emit_text(word if n == 0 else f" {word}")
        return {"answer": " ".join(words)}


class Fail:
    """Fail the first `times` attempts, in the way `how` says."""

    kind = "fail"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        await ctx.emit_text(f"attempt {task.attempt}")
        if task.attempt <= task.request_payload.get("times", 99):
            match task.request_payload.get("how"):
                case "crash":
                    raise ValueError("secret detail")
                case "permanent":
                    raise ProcessorError("It cannot work.", code="no_way", retryable=False)
                case _:
                    raise ProcessorError("Not yet.", code="not_yet")
        return {"answer": task.attempt}


class Return:
    """Return what the payload holds under `value`, or one of a few values JSON cannot hold."""

    kind = "return"

    def __init__(self, value: Any) -> None:
        self.value = value

    async def process(self, task: Task, ctx: TaskContext) -> Any:
        return self.value


class Hang:
    """Wait for ever, or until cancelled; remembers what happened."""

    kind = "hang"

    def __init__(self, *, stubborn: bool = False) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.stubborn = stubborn
        self.release = asyncio.Event()

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        self.started.set()
        while True:
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                if not self.stubborn:
                    raise
            else:
                return {"answer": "released"}


class Steps:
    """Two steps around a question; counts how often each ran."""

    kind = "steps"

    def __init__(self) -> None:
        self.runs: list[str] = []

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        self.runs.append("process")

        async def first() -> dict[str, Any]:
            self.runs.append("first")
            await ctx.emit(Event("seat-reserved", {"seat": "12A"}))
            return {"seat": ("12", "A")}

        reserved = await ctx.step("reserve", first)
        await ctx.emit_text("outside")
        if task.request_payload.get("fail_once") and task.attempt == 1:
            raise ProcessorError("Once.", code="once")
        answer = await ctx.ask_human("approve", "Book the seat?") if task.request_payload.get("ask") else {}
        return {"reserved": reserved, "answer": answer, "key": ctx.idempotency_key("reserve")}


class Parent:
    """Spawn one child per payload in `children` and add up their answers."""

    kind = "parent"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        children = [
            await ctx.spawn(child["kind"], child["payload"]) for child in task.request_payload["children"]
        ]
        return {"answers": [(await ctx.wait(child))["answer"] for child in children]}


class AskClient:
    """Have the client look at a clock."""

    kind = "ask-client"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        call = {"toolCallId": "c1", "toolName": "clock", "args": {}}
        (result,) = await ctx.ask_client("clock", [call])
        return {"answer": result["result"]}


class Blocking:
    """A plain function: reports from its thread."""

    kind = "blocking"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        ctx.emit_text("from a thread")
        ctx.progress(50, "half")
        value = ctx.step("compute", lambda: 41)
        note = ctx.checkpoint.get("note", "none")
        ctx.checkpoint.put("note", "written")
        answer = ctx.ask_human("go", "Go on?") if task.request_payload.get("ask") else {}
        return {"value": value, "note": note, "answer": answer, "thread": threading.current_thread().name}


class BlockLoop:
    """Block the event loop, as no processor should."""

    kind = "block-loop"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        time.sleep(float(task.request_payload["s"]))  # noqa: ASYNC251 - the fault under test
        return {"answer": "awake"}
