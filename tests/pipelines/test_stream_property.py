"""Whatever a definition holds and whatever goes wrong, what clients hear keeps the protocol's order."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings

from agent_worker.domain.errors import LeaseLost
from agent_worker.domain.events import visible_events
from agent_worker.domain.json import JsonObject, JsonValue
from agent_worker.domain.task import Task
from agent_worker.llm.models import Models
from agent_worker.llm.retry import RetryPolicy
from agent_worker.pipelines.telling.legs import Audience, Legs
from agent_worker.testing.openai_server import Cut as Broken
from agent_worker.testing.openai_server import JsonText, Reply, ScriptedOpenAI, Status, Text, ToolCall
from agent_worker.tools.registry import ToolError
from tests.pipelines.playing import Cut, Played, legs_of, play
from tests.pipelines.running import Counting, failing_task, hear, stored
from tests.pipelines.sources import definition

AUDIENCES: tuple[Audience, ...] = ("server", "browser")
GIVEN = {"TOPIC": "sea", "LIST": ["x", "y"]}
LOOSE = ("id", "step", "delayS")
DISPLAYS = ("hidden", "name", "description", "stream", "title")
HEAD = """
input:
  TOPIC: {type: string}
  LIST: {type: 'string[]'}
tools:
  ours: {description: Ours, display: DISPLAY, parameters: {what: {type: string}}}
  theirs: {description: Theirs, parameters: {what: {type: string}}}
workers:
  helper: {description: Helps, display: SHOWN, tools: {search: ours, ask: theirs}}
types:
  Town:
    name: {type: string}
"""
HELPER = """
input:
  WHAT: {type: string}
variables:
  SAID: {type: string}
tools:
  search: {description: Search, parameters: {what: {type: string}}}
  ask: {description: Ask, parameters: {what: {type: string}}}
steps:
  Search: {block: tool-call, tool: search, input: {what: WHAT}}
  Ask: {block: tool-call, tool: ask, input: {what: WHAT}, onError: continue}
  Begin: {block: start-thread, thread: notes, model: openai/scripted, system: system}
  Say: {block: add-message, thread: notes, role: user, prompt: system}
  Write: {block: next-message, thread: notes, output: SAID}
output: SAID
"""
LIBRARY = {"helper": definition(HELPER)}

Tree = tuple[str, dict[str, Any], list["Tree"]]

options = st.fixed_dictionaries(
    {},
    optional={
        "display": st.sampled_from(DISPLAYS),
        "onError": st.sampled_from(["continue", "fail"]),
        "retry": st.just({"attempts": 2, "delay": "1ms"}),
        "if": st.sampled_from(["TOPIC", "!TOPIC"]),
    },
)
leaves = st.tuples(
    st.sampled_from(
        ["set-variable", "ours", "theirs", "ask", "answer", "agent", "crew", "town", "rest", "worker"]
    ),
    options,
    st.just([]),
)


def containers(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    kinds = st.sampled_from(["if", "for-each", "parallel", "repeat"])
    return st.tuples(kinds, options, st.lists(children, min_size=1, max_size=3))


trees = st.lists(st.recursive(leaves, containers, max_leaves=6), min_size=1, max_size=4)
replies: st.SearchStrategy[Reply] = st.sampled_from(
    [
        Text("a small answer"),
        Text("", chunks=()),
        JsonText({"name": "Ulm"}),
        ToolCall("ours", {"what": "a"}),
        ToolCall("theirs", {"what": "b"}),
        ToolCall("nobody", {}),
        ToolCall("helper", {"WHAT": "a"}),
        ToolCall(
            "helper",
            {"WHAT": "a"},
            also=(ToolCall("helper", {"WHAT": "b"}, "call_2"), ToolCall("theirs", {"what": "c"}, "call_3")),
        ),
        ToolCall("helper", {"WHO": "a"}),
        ToolCall("agent_worker_todo_write", {"todos": [{"id": "1", "content": "Do", "status": "pending"}]}),
        ToolCall("ours", {"wrong": 1}),
        Status(500),
        Status(400),
        Broken(after=1),
    ]
)


OUTCOMES = ("fine", None, ToolError("Broken."), ToolError("Wrong.", retryable=False), LeaseLost("gone"))


class Writer:
    """Writes trees as a protocol; each step has its own names."""

    def __init__(self) -> None:
        self.variables: list[str] = []
        self._numbers = itertools.count()

    def steps(self, trees: list[Tree]) -> dict[str, Any]:
        return {name: block for tree in trees for name, block in self.block(tree)}

    def block(self, tree: Tree) -> Iterator[tuple[str, dict[str, Any]]]:
        kind, common, children = tree
        number = next(self._numbers)
        name, variable = f"Step {number}", f"V{number}"
        self.variables.append(variable)
        if kind in {"answer", "agent", "crew", "town"}:
            thread = f"thread{number}"
            agent = {
                "agent": {"tools": ["ours", "theirs"], "maxSteps": 3},
                "crew": {"tools": ["theirs"], "workers": ["helper"], "todoList": True, "maxSteps": 4},
            }.get(kind, {})
            yield (
                f"Begin {number}",
                {
                    "block": "start-thread",
                    "thread": thread,
                    "model": "openai/scripted",
                    "system": "system",
                    **agent,
                },
            )
            yield (
                f"Say {number}",
                {"block": "add-message", "thread": thread, "role": "user", "prompt": "system"},
            )
            typed = {"responseType": "Town"} if kind == "town" else {}
            yield name, {"block": "next-message", "thread": thread, "output": variable, **typed, **common}
            return
        yield name, {**self.fields(kind, children, number), **common}

    def fields(self, kind: str, children: list[Tree], number: int) -> dict[str, Any]:  # noqa: PLR0911 - one a kind
        variable = f"V{number}"
        match kind:
            case "set-variable":
                return {"block": kind, "variable": variable, "value": "TOPIC"}
            case "ours" | "theirs":
                return {"block": "tool-call", "tool": kind, "input": {"what": "TOPIC"}, "output": variable}
            case "worker":
                return {
                    "block": "run-worker",
                    "worker": "helper",
                    "input": {"WHAT": "TOPIC"},
                    "output": variable,
                }
            case "ask":
                return {"block": "human-approval", "prompt": "system", "output": variable}
            case "rest":
                return {"block": "wait", "for": "1ms"}
            case "if":
                return {"block": kind, "condition": "TOPIC", "then": self.steps(children)}
            case "for-each":
                inner = self.steps([*children, ("set-variable", {}, [])])
                return {
                    "block": kind,
                    "in": "LIST",
                    "as": f"ITEM{number}",
                    "concurrency": 2,
                    "steps": inner,
                    "output": variable,
                }
            case "parallel":
                both = [*children, ("set-variable", {}, [])]
                branches = {f"Branch {i}": self.steps([child]) for i, child in enumerate(both)}
                return {"block": kind, "branches": branches}
            case _:
                return {"block": kind, "maxIterations": 2, "steps": self.steps(children)}


def protocol(trees: list[Tree], display: str) -> str:
    writer = Writer()
    steps = writer.steps(trees)
    variables = {name: {"type": "unknown"} for name in writer.variables}
    body = {"variables": variables, "steps": steps}
    # Each section as a line of JSON, which is YAML as well.
    return HEAD.replace("DISPLAY", display).replace("SHOWN", display) + "".join(
        f"{key}: {json.dumps(value)}\n" for key, value in body.items()
    )


cuts = st.lists(st.builds(Cut, after=st.integers(0, 60), is_written=st.booleans()), max_size=4)


def check(played: Played, task: Task) -> None:
    """Hold what both audiences hear to the protocol, read as a whole, as it comes, and leg by leg."""
    events, task_id = stored(*played.rows), str(task.id)
    for audience in AUDIENCES:
        heard = hear(events, audience, task_id=task_id, end=played.end)
        assert next(event["type"] for event in heard[0] if event["type"] != "start") == "worker-start"
        says_usage = [event["type"] for leg in heard for event in leg].count("usage")
        assert says_usage == (played.result is not None)
        begins = list(legs_of(played.rows))
        for leg, begin in zip(heard, begins, strict=True):
            late = Legs(task_id, audience)
            told = [each for event in events[begin:] if not late.is_over for each in late.feed(event)]
            if leg[-1]["type"] != "error":  # that one also closes what earlier legs left open
                assert told == leg


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    trees=trees,
    said=st.lists(replies, max_size=10),
    outcomes=st.lists(st.sampled_from(OUTCOMES), max_size=5),
    display=st.sampled_from(DISPLAYS),
    cuts=cuts,
)
def test_any_definition_keeps_the_order_of_the_protocol(
    trees: list[Tree], said: list[Reply], outcomes: list[Any], display: str, cuts: list[Cut]
) -> None:
    source, task = definition(protocol(trees, display)), failing_task(attempts=4)
    tool = Counting("ours", list(outcomes))

    async def go(url: str, folder: str) -> Played:
        models = Models(openai_base_url=url, data_dir=Path(folder), retry=RetryPolicy(tries=1))
        try:
            async with asyncio.timeout(20):
                return await play(
                    source, GIVEN, task=task, tools=[tool], library=LIBRARY, models=models.get, cuts=cuts
                )
        finally:
            await models.close()

    with ScriptedOpenAI(*said) as server, tempfile.TemporaryDirectory() as folder:
        played = asyncio.run(go(server.base_url, folder))
    check(played, task)


class Fated(Counting):
    """Answers or fails by the place it is called from, so the same in every attempt."""

    async def call(self, arguments: JsonObject, *, idempotency_key: str) -> JsonValue:
        self.keys.append(idempotency_key)
        place = idempotency_key.partition(":")[2]
        if zlib.crc32(place.encode()) % 4 == 0:
            raise ToolError(f"No luck at {place}.", retryable=False)
        return place


@settings(
    max_examples=100,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(trees=trees, display=st.sampled_from(DISPLAYS), cuts=cuts)
def test_a_run_that_was_cut_anywhere_shows_and_returns_what_one_does_that_was_not(
    trees: list[Tree], display: str, cuts: list[Cut]
) -> None:
    source, task = definition(protocol(trees, display)), failing_task()

    async def go(cuts: list[Cut]) -> tuple[Played, list[str]]:
        tool = Fated("ours")
        return await play(source, GIVEN, task=task, tools=[tool], library=LIBRARY, cuts=cuts), tool.keys

    (whole, called), (cut, called_again) = asyncio.run(go([])), asyncio.run(go(cuts))
    check(cut, task)
    assert cut.result == whole.result
    assert cut.end == whole.end
    # What fails is not remembered: it may begin and end once more, or be seen no more once what is around it has ended.
    if not any(kind == "step-retry" or "error" in fields for kind, fields in whole.rows):
        assert shown(cut) == shown(whole)
    assert set(called) == set(called_again)


def shown(played: Played) -> list[str]:
    """What a client shows in the end, side by side or not: without times, random ids and how text is cut."""
    rows = visible_events(played.rows)
    spoken = Counter(
        json.dumps(
            [kind, {name: value for name, value in fields.items() if name not in LOOSE}], sort_keys=True
        )
        for kind, fields in rows
        if kind not in {"start", "text-delta"}
    )
    texts = Counter(fields["id"] for kind, fields in rows if kind == "text-delta")
    return [*sorted(spoken.elements()), f"{len(texts)} texts"]
