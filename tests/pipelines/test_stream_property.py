"""Whatever a definition holds and whatever goes wrong, what clients hear keeps the protocol's order."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from agent_worker.domain.errors import LeaseLost, ProcessorError
from agent_worker.domain.events import Event, visible_events
from agent_worker.domain.replay import Call, Parked
from agent_worker.domain.task import Resume
from agent_worker.llm.models import Models
from agent_worker.llm.retry import RetryPolicy
from agent_worker.testing.context import FakeContext
from agent_worker.testing.openai_server import Cut, JsonText, Reply, ScriptedOpenAI, Status, Text, ToolCall
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, check_leg, failing_task, run
from tests.pipelines.sources import definition

MOST_ATTEMPTS = 30
DISPLAYS = ("hidden", "name", "description", "stream", "title")
HEAD = """
input:
  TOPIC: {type: string}
  LIST: {type: 'string[]'}
tools:
  ours: {description: Ours, display: DISPLAY, parameters: {what: {type: string}}}
  theirs: {description: Theirs, parameters: {what: {type: string}}}
types:
  Town:
    name: {type: string}
"""

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
    st.sampled_from(["set-variable", "ours", "theirs", "ask", "answer", "agent", "town", "rest"]),
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
        ToolCall("ours", {"wrong": 1}),
        Status(500),
        Status(400),
        Cut(after=1),
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
        if kind in {"answer", "agent", "town"}:
            thread = f"thread{number}"
            agent = {"tools": ["ours", "theirs"], "maxSteps": 3} if kind == "agent" else {}
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
    return HEAD.replace("DISPLAY", display) + "".join(
        f"{key}: {json.dumps(value)}\n" for key, value in body.items()
    )


def answer(question: Any) -> tuple[str, str, Any]:
    """Answer as a person or a client would."""
    if question.call is Call.HUMAN:
        return "human", question.key, {"approved": True}
    calls = question.fields["context"]["toolCalls"]
    results = [
        {"toolCallId": call["toolCallId"], **({"result": "done"} if i % 2 == 0 else {"error": "no"})}
        for i, call in enumerate(calls)
    ]
    return "client", question.key, results


async def run_to_the_end(source: Any, tool: Counting, models: Models) -> list[tuple[str, Any]]:
    """Run attempts until there is an end; return all rows, as the events table would hold them."""
    ctx = FakeContext(failing_task(attempts=4), models=models.get)
    answers: dict[str, dict[str, Any]] = {"human": {}, "client": {}}
    rows: list[tuple[str, Any]] = []
    for attempt in range(MOST_ATTEMPTS):
        keep = [key for key, known in ctx._known.items() if known.call is Call.STEP]
        rows.append(("attempt-start", {"attempt": attempt, "keep": keep}))
        ends: tuple[str, ...] = ("usage",)
        resume, is_over = Resume.ANSWERED, False
        try:
            await run(source, {"TOPIC": "sea", "LIST": ["x", "y"]}, ctx=ctx, tools=[tool])
            is_over = True
        except Parked as parked:
            who, key, value = answer(parked.question)
            answers[who][key] = value
            ends = () if parked.question.call is Call.CLIENT else ("finish",)
        except LeaseLost:  # the worker is gone in the middle of a tool
            ends, resume = (), Resume.RESCUED
        except ProcessorError as error:
            is_over = not error.retryable or ctx.task.attempts_left <= 0
            ends = ("worker-result",) if is_over else ()
            resume = Resume.RETRY
        assert ctx.events[0].type == "start"
        if ends:
            assert ctx.events[-1].type in ends
        rows += [(event.type, dict(event.data)) for event in ctx.events]
        if is_over:
            return rows
        last = ctx.task.attempt
        ctx = ctx.again(resume=resume, human=answers["human"], client=answers["client"])
        if resume is not Resume.RETRY:  # waiting uses up no attempt
            ctx.task = ctx.task._replace(attempt=last)
    raise AssertionError(f"no end after {MOST_ATTEMPTS} attempts")


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    trees=trees,
    said=st.lists(replies, max_size=8),
    outcomes=st.lists(
        st.sampled_from(OUTCOMES),
        max_size=5,
    ),
    display=st.sampled_from(DISPLAYS),
)
def test_any_definition_keeps_the_order_of_the_protocol(
    trees: list[Tree], said: list[Reply], outcomes: list[Any], display: str
) -> None:
    source = definition(protocol(trees, display))
    tool = Counting("ours", list(outcomes))

    async def go(url: str, folder: str) -> list[tuple[str, Any]]:
        models = Models(openai_base_url=url, data_dir=Path(folder), retry=RetryPolicy(tries=1))
        try:
            async with asyncio.timeout(20):
                return await run_to_the_end(source, tool, models)
        finally:
            await models.close()

    with ScriptedOpenAI(*said) as server, tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(go(server.base_url, folder))
    shown = [Event(kind, fields) for kind, fields in visible_events(rows)]
    # What a client shows in the end: further legs begin with a `start` of their own.
    first, *rest = shown
    whole = [first, *(event for event in rest if event.type != "start")]
    check_leg(whole, ends=("finish", "worker-result"))
    assert [event.type for event in whole[:2]] == ["start", "worker-start"]
    assert [event.type for event in whole].count("worker-result") == 1
