"""Whatever a valid definition makes a worker do, the tasks beside it go on, and it ends within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest

from agent_worker.processors.echo import Echo
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.tools.registry import ToolRegistry
from tests.pipelines.running import Counting
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker

pytestmark = pytest.mark.slow

LONGEST_TURN_S = 0.1
MOST_MEMORY_KIB = 400 * 1024
MIB = 1024 * 1024


class Watchdog:
    """Measures for how long the event loop works without a pause.

    In processor time of its thread: whatever else the machine does is not its fault.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self) -> None:
        began = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.longest_s = max(self.longest_s, now - began)
            began = now


def definition(
    steps: dict[str, Any], *, prompts: dict[str, str] | None = None, **sections: Any
) -> dict[str, Any]:
    body = {
        "input": {
            "TEXT": {"type": "string", "optional": True},
            "LIST": {"type": "string[]", "optional": True},
        },
        "variables": {"A": {"type": "unknown"}, "B": {"type": "unknown"}},
        **sections,
        "steps": steps,
    }
    return {
        "settings": {"slug": "hostile", "name": "Hostile", "format": "worker"},
        "protocol": "".join(f"{name}: {json.dumps(section)}\n" for name, section in body.items()),
        "prompts": [{"name": name, "content": text} for name, text in (prompts or {}).items()],
    }


def set_a(value: Any = "TEXT", **fields: Any) -> dict[str, Any]:
    return {"block": "set-variable", "variable": "A", "value": value, **fields}


def repeat(times: int, steps: dict[str, Any]) -> dict[str, Any]:
    return {"block": "repeat", "maxIterations": times, "steps": steps}


def each(**fields: Any) -> dict[str, Any]:
    item = {"Set": {"block": "set-variable", "variable": "B", "value": "ITEM"}}
    return {"block": "for-each", "in": "LIST", "as": "ITEM", "steps": item, **fields}


def thread(prompt: str) -> dict[str, Any]:
    return {
        "Open": {"block": "start-thread", "thread": "t", "model": "echo/echo", "system": "system"},
        "Again": repeat(
            1000,
            {
                "Say": {
                    "block": "add-message",
                    "thread": "t",
                    "role": "user",
                    "prompt": prompt,
                    "input": ["LIST"],
                }
            },
        ),
    }


EXPLODING = {f"p{level}": f"{{{{@p{level + 1}.md}}}}" * 10 for level in range(9)} | {"p9": "boom"}
TOOL = {"tools": {"huge": {"description": "Huge"}}}
HOSTILE: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "100,000 items": (definition({"Each": each()}), {"LIST": ["x"] * 100_000}, "no_list"),
    "10,000 items, a hundred at once": (
        definition({"Each": each(concurrency=100, collect="B", output="A")}),
        {"LIST": ["x"] * 10_000},
        None,
    ),
    "a thousand times a thousand rounds": (
        definition({"Outer": repeat(1000, {"Inner": repeat(1000, {"Set": set_a()})})}),
        {},
        "limit_exceeded",
    ),
    "an input of 15 MiB": (
        definition({f"Set {n}": set_a(display="name") for n in range(5)}),
        {"TEXT": "x" * (15 * MIB)},
        "limit_exceeded",
    ),
    "an input of as many values as fit": (
        definition({"Set": set_a("LIST", display="name")}),
        {"LIST": ["x"] * 400_000},
        "limit_exceeded",
    ),
    "a large variable copied by many blocks": (
        definition({f"Set {n}": set_a(display="name") for n in range(50)}),
        {"TEXT": "\u20ac" * (MIB * 15 // 8)},
        "limit_exceeded",
    ),
    "a tool that returns 16 MiB": (
        definition({"Call": {"block": "tool-call", "tool": "huge", "output": "A"}}, **TOOL),
        {},
        "tool_failed",
    ),
    "5,000 steps": (
        definition(
            {
                f"{n}": {"block": "set-resource", "resource": "R", "value": n} if n % 50 == 0 else set_a()
                for n in range(5_000)
            },
            resources={"R": {"type": "unknown"}},
        ),
        {"TEXT": "x"},
        None,
    ),
    "10,000 items that are recalled": (
        definition(
            {
                "Each": each(
                    concurrency=100,
                    steps={"Wait": {"block": "wait", "for": "1100ms", "if": 'ITEM == "last"'}},
                )
            }
        ),
        {"LIST": ["x"] * 9_999 + ["last"]},
        None,
    ),
    "a prompt that shows a large list": (
        definition(thread("list"), prompts={"list": "{{LIST}}", "system": "x"}),
        {"LIST": ["x"] * 50_000},
        "limit_exceeded",
    ),
    "prompts that include prompts": (
        definition(thread("p0"), prompts={**EXPLODING, "system": "x"}),
        {},
        "prompt_too_large",
    ),
    "a conversation without end": (
        definition(thread("long"), prompts={"long": "x" * 500_000, "system": "x"}),
        {},
        "limit_exceeded",
    ),
}


@pytest.fixture(autouse=True)
def settled_heap() -> Iterator[None]:
    """As in a worker: the collector does not look again and again at what the test process has loaded."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_definition_ends_and_the_tasks_beside_it_go_on(
    name: str, start_worker: StartWorker, rows: Rows
) -> None:
    body, given, code = HOSTILE[name]
    pipeline = Pipeline(PipelineSettings())
    pipeline.tools = ToolRegistry((Counting("huge", ["x" * (16 * MIB)]),))
    watchdog = Watchdog()
    async with start_worker(pipeline, Echo()):
        payload = {"definition": definition({"Set": set_a()}), "input": {}}
        await rows.reaches(await rows.insert("pipeline", payload), "completed")  # the room is open
        memory_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        task_id = await rows.insert("pipeline", {"definition": body, "input": given})
        async with watchdog.watching():
            beside = await rows.insert("echo", {"prompt": "hello"})
            await rows.reaches(beside, "completed", timeout_s=30)
            await eventually(lambda: has_ended(rows, task_id), timeout_s=90)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kib
    query = "SELECT status, response_payload ->> 'code', attempt FROM agent_task_requests WHERE id = %(id)s"
    assert await rows.db.fetch_all(query, {"id": task_id}) == [
        ("completed" if code is None else "failed", code, 1)
    ]
    assert grown_kib < MOST_MEMORY_KIB
    assert watchdog.longest_s < LONGEST_TURN_S


async def has_ended(rows: Rows, task_id: UUID) -> bool:
    """Tell so without reading the task's payload, which would be the longest turn of all."""
    query = "SELECT finished_at IS NOT NULL FROM agent_task_requests WHERE id = %(id)s"
    return bool(await rows.db.fetch_value(query, {"id": task_id}))
