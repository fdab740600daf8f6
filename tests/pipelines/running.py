"""Run small definitions in memory, and look at what they said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.records import TaskEvent, TaskResult
from agent_worker.domain.task import Task
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.running.execution import Surroundings
from agent_worker.pipelines.running.runner import Result, run_pipeline
from agent_worker.pipelines.telling.legs import Audience, Legs
from agent_worker.testing.context import FakeContext, make_task
from agent_worker.tools.registry import Tool, ToolRegistry
from tests.pipelines import accepting

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


def stored(*rows: tuple[str, JsonObject]) -> list[TaskEvent]:
    """Number rows as the events table does; each `attempt-start` begins an attempt."""
    attempt, events = 0, []
    for seq, (kind, fields) in enumerate(rows, start=1):
        attempt += kind == "attempt-start"
        events.append(TaskEvent(seq, kind, fields, attempt, datetime.now(UTC)))
    return events


def hear(
    events: Sequence[TaskEvent], audience: Audience, *, task_id: str, end: TaskResult | None = None
) -> list[list[dict[str, Any]]]:
    """Return what each leg of a run says to an audience, having held it to the protocol."""
    legs = Legs(task_id, audience)
    heard: list[list[dict[str, Any]]] = []
    is_new = True
    for event in events:
        if told := legs.feed(event):
            if is_new:
                heard.append([])
            heard[-1] += [dict(each) for each in told]
            is_new = legs.is_over
    if end is not None and (told := legs.end(end.status, end.response)):
        if is_new:
            heard.append([])
        heard[-1] += [dict(each) for each in told]
    check_legs(heard, audience, task_id=task_id)
    return heard


def check_legs(heard: Sequence[Sequence[JsonObject]], audience: Audience, *, task_id: str) -> None:
    """Hold the legs of one run to the protocol: every event is taken, everything that begins ends, once."""
    opened: dict[tuple[str, str], bool] = {}
    for leg in heard:
        for event in leg:
            assert accepting.problem(event) is None, (event, accepting.problem(event))
        kinds = [str(event["type"]) for event in leg]
        assert kinds[0] == "start"
        ends = [event for event in leg if event["type"] in {"finish", "error"}]
        assert len(ends) == 1, kinds
        assert kinds[-1] == "usage" or leg[-1] is ends[0], kinds
        asked = "tool-request" if audience == "server" else "client-tool-request"
        reason = "tool-calls" if audience == "server" else "client-tool-calls"
        assert (asked in kinds) == (ends[0].get("finishReason") == reason), kinds
        for event in leg:
            _open_or_close(opened, event)
    results = [e for leg in heard for e in leg if e["type"] == "worker-result" and e["workerId"] == task_id]
    last = next(event for event in heard[-1] if event["type"] in {"finish", "error"})
    is_over = last["type"] == "error" or last["finishReason"] == "stop"
    started = any(event["type"] == "worker-start" for leg in heard for event in leg)
    assert len(results) == (1 if is_over and started else 0)
    if is_over:
        assert not [place for place, is_open in opened.items() if is_open]


def _open_or_close(opened: dict[tuple[str, str], bool], event: JsonObject) -> None:
    kind = str(event["type"])
    for begin, (end, key) in {**PAIRS, "worker-start": ("worker-result", "workerId")}.items():
        place = (begin, str(event.get(key)))
        if kind == begin:
            # A worker that was cut off as it began does so again.
            assert begin == "worker-start" or not opened.get(place), f"{place} begins twice"
            opened[place] = True
        elif kind == end:
            assert opened.get(place), f"{place} ends without having begun"
            opened[place] = False
        elif kind == begin.replace("-start", "-delta"):
            assert opened.get(place), f"{place} speaks without having begun"


def without_ids(events: Sequence[Event], execution_id: UUID) -> list[tuple[str, Any]]:
    """Return events as they are the same in every run: ids by order of appearance, and text not cut by the clock."""
    numbers: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        return numbers.setdefault(found[0], f"id-{len(numbers)}")

    told: list[tuple[str, Any]] = []
    for event in events:
        text = json.dumps(dict(event.data)).replace(str(execution_id), "RUN")
        data = json.loads(re.sub(r"(?<=:)[0-9a-f]{12}(?=\")", number, text))
        if event.type == "text-delta" and told[-1][0] == "text-delta" and told[-1][1]["id"] == data["id"]:
            told[-1][1]["delta"] += data["delta"]
        else:
            told.append((event.type, data))
    return told
