"""Processors that leave a trace outside of the queue, so that a test can count what really ran."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from agent_worker import Task, TaskContext


class Traced:
    """Append `task attempt pid` to the file LEDGER when an attempt ends; take `s` seconds, blocking the loop if asked.

    That it has begun stands in LEDGER.begun.
    """

    kind = "traced"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        seconds = float(task.request_payload.get("s", 0))
        with Path(os.environ["LEDGER"] + ".begun").open("a") as begun:
            begun.write(f"{task.id}\n")
        if task.request_payload.get("block"):
            time.sleep(seconds)  # noqa: ASYNC251 - the fault under test
        else:
            await asyncio.sleep(seconds)
        with Path(os.environ["LEDGER"]).open("a") as ledger:
            ledger.write(f"{task.id} {task.attempt} {os.getpid()}\n")
        return {"answer": task.request_payload["n"]}


class AskTwice:
    """Ask a person, then take a while; a step before the question counts its runs in the file LEDGER."""

    kind = "ask-twice"

    async def process(self, task: Task, ctx: TaskContext) -> dict[str, Any]:
        async def charge() -> str:
            with Path(os.environ["LEDGER"]).open("a") as ledger:
                ledger.write(f"{task.id} charged {os.getpid()}\n")
            return "charged"

        await ctx.step("charge", charge)
        answer = await ctx.ask_human("approve", "Ship it?")
        with Path(os.environ["LEDGER"]).open("a") as ledger:
            ledger.write(f"{task.id} resumed {os.getpid()}\n")
        await asyncio.sleep(float(task.request_payload["s"]))
        return {"answer": answer["approved"]}
