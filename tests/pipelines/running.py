"""Run small definitions in memory, and look at what they said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import Task
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.execution import Surroundings
from agent_worker.pipelines.runner import Result, run_pipeline
from agent_worker.testing.context import FakeContext, make_task
from agent_worker.tools.registry import Tool, ToolRegistry

PAIRS = {
    "block-start": ("block-end", "blockId"),
    "text-start": ("text-end", "id"),
    "reasoning-start": ("reasoning-end", "id"),
    "tool-input-start": ("tool-input-end", "toolCallId"),
}


async def run(
    definition: Definition,
    given: JsonObject | None = None,
    *,
    ctx: FakeContext | None = None,
    tools: Sequence[Tool] = (),
    library: Mapping[str, Definition] | None = None,
    **around: Any,
) -> tuple[Result, FakeContext]:
    """Run to the end; raises what the run raises."""
    ctx = ctx or FakeContext(make_task(kind="pipeline"))
    surroundings = Surroundings(ToolRegistry(tuple(tools)), library or {}, **around)
    result = await run_pipeline(definition, given or {}, task=ctx.task, ctx=ctx, around=surroundings)
    return result, ctx


def said(ctx: FakeContext) -> list[str]:
    return [event.type for event in ctx.events]


def data(ctx: FakeContext, kind: str) -> list[dict[str, Any]]:
    return [dict(event.data) for event in ctx.events if event.type == kind]


def texts(ctx: FakeContext) -> str:
    return "".join(event["delta"] for event in data(ctx, "text-delta"))


def failing_task(*, attempts: int = 1) -> Task:
    """A task whose first attempt is its last unless more are given."""
    return make_task(kind="pipeline")._replace(max_attempts=attempts)


def check_leg(events: Sequence[Event], *, ends: Sequence[str] = ("finish",)) -> None:
    """Hold one attempt's events to the protocol's order; `usage` comes after the `finish` of a run that ended well."""
    assert events[0].type == "start"
    types = [event.type for event in events]
    assert types.count("finish") <= 1
    has_ended_well = any(event.data.get("finishReason") == "stop" for event in events)
    assert types.count("usage") == has_ended_well
    if has_ended_well:
        assert types[-2:] == ["finish", "usage"]
        events = events[:-1]
    if ends:
        assert events[-1].type in ends
    started: dict[tuple[str, str], int] = {}
    for event in events:
        assert not [name for name, value in event.data.items() if value is None], event
        for begin, (end, key) in PAIRS.items():
            if event.type == begin:
                place = (begin, str(event.data[key]))
                # Only a block may begin again, when what is around it is tried again.
                assert not started.get(place), f"{place} begins twice"
                assert begin in {"block-start", "tool-input-start"} or place not in started, (
                    f"{place} begins again"
                )
                started[place] = 1
            elif event.type == end:
                assert started.get((begin, str(event.data[key]))) == 1, event
                started[begin, str(event.data[key])] = 0
            elif event.type == begin.replace("-start", "-delta"):
                assert started.get((begin, str(event.data[key]))) == 1, event
    open_places = [place for place, is_open in started.items() if is_open]
    assert not open_places, open_places


@dataclass(slots=True)
class Counting:
    """A tool that counts its calls and answers from a script."""

    name: str
    answers: list[Any] = field(default_factory=list)
    calls: list[JsonObject] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    parameters: JsonObject | None = None

    async def call(self, arguments: JsonObject, *, idempotency_key: str) -> JsonValue:
        self.calls.append(arguments)
        self.keys.append(idempotency_key)
        answer = self.answers.pop(0) if self.answers else len(self.calls)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]
