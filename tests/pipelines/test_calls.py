"""Calls of other workers are held to what those take: where they are known, before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from agent_worker.domain.errors import InvalidPayload, ProcessorError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.replay import Parked
from agent_worker.pipelines.validation import validate
from agent_worker.testing.context import FakeContext
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, data, failing_task, run, said
from tests.pipelines.sources import WORKER, definition, shown, source, worker

GIVEN = {"TOPIC": "sea", "KIND": "x", "LIST": []}
INNER = WORKER.replace(
    "  TOPIC: {type: string}\n",
    "  TOPIC: {type: string}\n  DEPTH: {type: string, enum: [short, long], optional: true}\n"
    "  MANY: {type: integer, default: 3}\n",
    1,
)


def calling(given: str, *, entry: str = "", more: str = "") -> str:
    steps = f"Call:\n  block: run-worker\n  worker: inner\n  input: {given}\n{more}"
    return worker(sections=f"workers:\n  inner: {{description: Answers{entry}}}\n", steps=steps)


def problems(protocol: str, inner: str = INNER) -> list[str]:
    report = validate(source(protocol), library={"inner": definition(inner)}).report
    return [f"{each.line}: {shown(each)}" for each in report.errors]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "{TOPIC: sea, TOPICS: x}",
            "steps.Call.input.TOPICS: there is no input of inner 'TOPICS'; did you mean",
        ),
        ("{DEPTH: short}", "steps.Call.input: inner needs 'TOPIC'"),
        ("{TOPIC: 7}", "steps.Call.input.TOPIC: must be text, here it is a number"),
        ("{TOPIC: sea, DEPTH: deep}", "steps.Call.input.DEPTH: must be one of short, long"),
        ("{TOPIC: sea, MANY: many}", "steps.Call.input.MANY: must be a whole number, here it is text"),
        ("{TOPIC: null}", "steps.Call.input.TOPIC: is required, here it is null"),
    ],
)
def test_a_call_that_cannot_fit_is_an_error_at_its_line(given: str, message: str) -> None:
    protocol = calling(given)
    (found,) = problems(protocol)
    line, _, told = found.partition(": ")
    assert told.startswith(message)
    assert "input:" in protocol.splitlines()[int(line) - 1]


def test_a_call_that_fits_and_one_of_an_unknown_worker_are_none() -> None:
    assert problems(calling("{TOPIC: KIND, DEPTH: null}")) == []
    assert validate(source(calling("{WHATEVER: 1}"))).report.valid


def test_a_tool_that_is_lent_has_to_be_one_of_the_worker() -> None:
    protocol = calling("{TOPIC: sea}", entry=", tools: {serach: look}").replace(
        "workers:", "tools:\n  look: {description: Look}\nworkers:"
    )
    inner = "tools:\n  search: {description: Search}\n" + INNER
    assert [each.partition(": ")[2] for each in problems(protocol, inner)] == [
        "workers.inner.tools.serach: there is no tool of inner 'serach'; did you mean 'search'?"
    ]


def test_a_worker_that_cannot_be_a_tool_under_its_slug_is_an_error() -> None:
    long = "a" * 65
    protocol = worker(
        sections=f"tools:\n  inner: {{description: Look}}\nworkers:\n  inner: {{description: x}}\n"
        f"  {long}: {{description: y}}\n"
    ).replace("system: system", f"system: system\n    tools: [inner]\n    workers: [inner, {long}]")
    assert [each.partition(": ")[2][:48] for each in problems(protocol)] == [
        "steps.Open.workers: the thread has a tool that i",
        "steps.Open.workers: as a tool, a worker has at m",
    ]


async def test_a_run_whose_calls_cannot_fit_ends_before_its_first_step() -> None:

    protocol = calling("{TOPICS: sea}").replace(
        "  Call:", "  Look:\n    block: tool-call\n    tool: look\n  Call:"
    )
    protocol = protocol.replace("workers:", "tools:\n  look: {description: Look}\nworkers:")
    tool = Counting("look")
    with pytest.raises(InvalidPayload, match=r"protocol\.yaml:\d+:steps\.Call\.input\.TOPICS") as caught:
        await run(definition(protocol), GIVEN, tools=[tool], library={"inner": definition(INNER)})
    assert (tool.calls, caught.value.path) == ([], "$")


async def test_what_only_the_run_knows_is_checked_when_the_worker_is_called() -> None:
    ctx = FakeContext(failing_task())
    with pytest.raises(ProcessorError, match=r"steps\.Call\.input\.MANY must be a whole number") as caught:
        await run(
            definition(calling("{TOPIC: sea, MANY: TOPIC}")),
            GIVEN,
            ctx=ctx,
            library={"inner": definition(INNER)},
        )
    assert caught.value.code == "invalid_payload"
    assert len(data(ctx, "worker-start")) == 1, "the worker that was called wrongly did not begin"
    assert said(ctx)[-2:] == ["block-end", "worker-result"]


async def test_a_failed_call_that_the_step_forgives_counts_what_it_used_in_every_attempt() -> None:
    inner = "tools:\n  look: {description: Look}\n" + INNER.replace(
        "    output: ANSWER\n", "    output: ANSWER\n  Look:\n    block: tool-call\n    tool: look\n"
    )
    asks = "  onError: continue\nAsk:\n  block: human-approval\n  prompt: system\n"
    source = definition(calling("{TOPIC: sea}", more=asks))
    around: dict[str, Any] = {
        "library": {"inner": definition(inner)},
        "tools": [Counting("look", [ToolError("No.")] * 2)],
    }
    answers: dict[str, JsonObject] = {"ask:steps.Ask": {"approved": True}}
    whole, _ = await run(source, GIVEN, ctx=FakeContext(human=answers), **around)
    ctx = FakeContext()
    with pytest.raises(Parked):
        await run(source, GIVEN, ctx=ctx, **around)
    result, _ = await run(source, GIVEN, ctx=ctx.again(human=answers), **around)
    assert result.used == whole.used
    assert result.used.calls == 1
