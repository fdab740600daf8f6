"""Processors for processes of their own. At the top level of a module, so that a process finds them by name."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from agent_worker import Event, InvalidPayload, LeaseLost, ProcessorError, Task
from agent_worker.worker.threads import SyncTaskContext

ROUND_S = 0.01


class Spin:
    """Burn a core for ever and look at nothing, beside a program of its own."""

    kind = "spin"
    runs_in = "process"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        program = subprocess.Popen(["sleep", "600"])
        ctx.emit(Event("pids", {"pids": [os.getpid(), program.pid]}))
        if task.request_payload.get("holds_the_lock"):
            re.match(r"(a+)+$", "a" * 64 + "b")
        while True:
            pass


class Who:
    """Answer with the process's id; wait for a file if one is named."""

    kind = "who"
    runs_in = "process"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        ctx.emit(Event("pids", {"pids": [os.getpid()]}))
        ctx.logger.warning("half way")
        if name := task.request_payload.get("until"):
            while not Path(str(name)).exists():  # busy: it computes
                pass
        return {"pid": os.getpid(), "group": os.getpgrp(), "database": os.environ.get("DATABASE_URL")}


class Listens:
    """Look at `ctx.cancelled`, as asked for; then try one more call."""

    kind = "listens"
    runs_in = "process"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        ctx.emit(Event("pids", {"pids": [os.getpid()]}))
        while not ctx.cancelled:
            time.sleep(ROUND_S)
        try:
            ctx.emit_text("too late")
        except LeaseLost:
            return {"answer": "stopped"}
        return {}


class Die:
    """End the process in the middle of an attempt, as long as `times` says."""

    kind = "die"
    runs_in = "process"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        if task.attempt > int(str(task.request_payload.get("times", 1))):
            return {"answer": task.attempt}
        match task.request_payload["how"]:
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                os._exit(3)
            case "hang up":
                os.closerange(3, 100)
        return {}


class Odd(Exception):
    """Can be sent nowhere."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)
        self.second = lambda: second

    def __reduce__(self) -> Any:
        raise TypeError


class Refused(ProcessorError):
    """A plug-in's own error."""

    def __init__(self) -> None:
        super().__init__("It is refused.", code="refused", retryable=False)


class RaiseInThread:
    """Raise what the payload asks for."""

    kind = "raise-thread"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:  # noqa: C901 - a flat list
        match task.request_payload["what"]:
            case "odd":
                raise Odd("secret", "detail")
            case "own":
                raise Refused
            case "payload":
                raise InvalidPayload("must be a string", path="$.city")
            case "group":
                raise BaseExceptionGroup("several", [ProcessorError("One.", code="one", retryable=False)])
            case "key":
                ctx.checkpoint.put("k", 1)
                ctx.step("k", lambda: 1)
            case "unstorable":
                ctx.checkpoint.put("k", {1, 2})  # type: ignore[arg-type]  # the fault under test
            case "no object":
                return [1]  # type: ignore[return-value]  # the fault under test
            case "nan":
                return {"answer": float("nan")}
            case "definition":
                ctx.definition("nobody", 2)
            case "timeout of child":
                ctx.wait(ctx.spawn("die-at-once", {}, key="child"))
            case "wrong argument":
                ctx.ask_human("k", "Title?", colour="blue")
        return {"pid": os.getpid()}


class RaiseInProcess(RaiseInThread):
    kind = "raise-process"
    runs_in = "process"


class DieAtOnce:
    """A child task that fails."""

    kind = "die-at-once"

    async def process(self, task: Task, ctx: Any) -> dict[str, Any]:
        raise ProcessorError("Dead.", code="dead", retryable=False)


class BookInThread:
    """Use everything a context has; what it did stands in the answer and in the file `log`."""

    kind = "book-thread"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        log = Path(str(task.request_payload["log"]))
        note = ctx.checkpoint.get("note", "none")
        ctx.checkpoint.put("note", ctx.resume.value)

        def reserve() -> Any:
            with log.open("a") as file:
                file.write("reserved\n")
            ctx.emit_text("in the step")
            ctx.emit(Event("seat-reserved", {"seat": "12A"}))
            return {"seat": ("12", "A")}

        seat = ctx.step("reserve", reserve)
        ctx.emit_text("outside")
        ctx.progress(50, "half")
        decision = ctx.ask_human("approve", "Book it?", context={"seat": seat}, assignee=task.user_id)
        (clock,) = ctx.ask_client("clock", [{"toolCallId": "c1", "toolName": "clock", "args": {}}])
        child = ctx.spawn("echo", {"prompt": "child"})
        return {
            "note": note,
            "seat": seat,
            "decision": decision,
            "clock": clock["result"],
            "child": ctx.wait(child)["answer"],
            "flight": ctx.definition("flight").content["to"],
            "key": ctx.idempotency_key("reserve"),
            "left": 0 < ctx.deadline - time.monotonic() < 601,
            "cancelled": ctx.cancelled,
        }


class BookInProcess(BookInThread):
    kind = "book-process"
    runs_in = "process"


class Loud:
    """Answer with `size` characters, say `events` things, from several threads if asked."""

    kind = "loud"
    runs_in = "process"

    def process(self, task: Task, ctx: SyncTaskContext) -> dict[str, Any]:
        given = {name: int(str(value)) for name, value in task.request_payload.items()}

        def say(first: int) -> None:
            for n in range(given["events"]):
                ctx.emit(Event("said", {"thread": first, "n": n}))

        threads = [threading.Thread(target=say, args=(n,)) for n in range(given.get("threads", 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("from standard output")  # noqa: T201 - under test
        sys.stdout.flush()
        return {"answer": "x" * given["size"]}
