"""Models that call other workers as tools, through the real client to the scripted server."""

from __future__ import annotations

from typing import Any

import pytest

from agent_worker.domain.errors import LeaseLost, ProcessorError
from agent_worker.domain.events import Event, visible_events
from agent_worker.domain.replay import Call, Parked
from agent_worker.domain.task import Resume
from agent_worker.llm.models import Models
from agent_worker.testing.context import FakeContext
from agent_worker.testing.openai_server import ScriptedOpenAI, Text, ToolCall
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, check_leg, data, failing_task, run, said
from tests.pipelines.sources import definition

OUTER = """
input:
  TOPIC: {type: string}
variables:
  A: {type: unknown}
tools:
  look-up: {description: Look it up, parameters: {what: {type: string}}}
workers:
  helper:
    description: Finds things out
    display: DISPLAY
    tools: {search: look-up}
steps:
  Begin:
    block: start-thread
    thread: agent
    model: openai/first
    system: system
    workers: [helper]
    maxSteps: 5
  Ask:
    block: add-message
    thread: agent
    role: user
    prompt: ask
    input: [TOPIC]
  Answer:
    block: next-message
    thread: agent
    output: A
output: A
"""
HELPER = """
input:
  WHAT: {type: string, description: What to find}
  WHERE: {type: string, optional: true}
variables:
  FOUND: {type: unknown}
  TEXT: {type: string}
tools:
  search: {description: Search, parameters: {what: {type: string}}}
steps:
  Search:
    block: tool-call
    tool: search
    input: {what: WHAT}
    output: FOUND
  Begin:
    block: start-thread
    thread: notes
    model: openai/second
    system: system
  Ask:
    block: add-message
    thread: notes
    role: user
    prompt: ask
    input: [TOPIC: WHAT]
  Write:
    block: next-message
    thread: notes
    output: TEXT
output: TEXT
"""
CALL = ToolCall("helper", {"WHAT": "tide"})


def context(models: Models, *, attempts: int = 1) -> FakeContext:
    return FakeContext(failing_task(attempts=attempts), models=models.get)


async def answer(
    ctx: FakeContext, *tools: Counting, display: str = "stream", helper: str = HELPER, outer: str = OUTER
) -> Any:
    result, _ = await run(
        definition(outer.replace("DISPLAY", display)),
        {"TOPIC": "sea"},
        ctx=ctx,
        tools=tools,
        library={"helper": definition(helper)},
    )
    return result


def shown(*legs: FakeContext) -> list[Event]:
    """What a client shows in the end of several attempts of one task."""
    rows: list[tuple[str, Any]] = []
    for number, ctx in enumerate(legs):
        rows.append(("attempt-start", {"keep": KEPT[id(ctx)] if number else []}))
        rows += [(event.type, event.data) for event in ctx.events]
    first, *rest = [Event(kind, fields) for kind, fields in visible_events(rows)]
    return [first, *(event for event in rest if event.type != "start")]


KEPT: dict[int, list[str]] = {}


def again(ctx: FakeContext, **options: Any) -> FakeContext:
    """The next attempt, which remembers as the engine would tell its clients."""
    following = ctx.again(**options)
    KEPT[id(following)] = [key for key, known in ctx._known.items() if known.call is Call.STEP]
    return following


async def test_a_model_calls_a_worker_whose_output_is_the_result(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(CALL, Text("High at noon."), Text("At noon, they say."))
    ctx = context(models)
    result = await answer(ctx, Counting("look-up", ["rising"]))
    assert result.output == "At noon, they say."
    assert result.used.calls == 3
    offered: Any = server.requests[0].body["tools"]
    assert offered[0]["function"] == {
        "name": "helper",
        "description": "Finds things out",
        "parameters": {
            "type": "object",
            "properties": {
                "WHAT": {"type": "string", "description": "What to find"},
                "WHERE": {"type": "string"},
            },
            "required": ["WHAT"],
            "additionalProperties": False,
        },
    }
    told: Any = server.requests[-1].body["messages"]
    assert told[-1]["content"] == "High at noon."
    check_leg(ctx.events)
    inner = data(ctx, "worker-start")[1]
    assert inner["input"] == {"WHAT": "tide", "WHERE": "NONE"}
    about = [event for event in ctx.events if event.data.get("workerId") == inner["workerId"]]
    assert [event.type for event in about if not event.type.startswith("text-delta")] == [
        *("worker-input-start", "worker-input-delta", "worker-input-ready", "worker-start"),
        *("block-start", "tool-input-start", "tool-input-end", "tool-input-available"),
        *("tool-output-available", "block-end"),
        *("block-start", "text-start", "text-end", "block-end", "worker-result"),
    ]
    assert about[2].data["input"] == {"WHAT": "tide"}
    assert data(ctx, "worker-result")[0]["output"] == "High at noon."


@pytest.mark.parametrize(("display", "heard"), [("hidden", []), ("name", ["worker-start", "worker-result"])])
async def test_a_worker_shows_no_more_than_its_entry_says(
    server: ScriptedOpenAI, models: Models, display: str, heard: list[str]
) -> None:
    server.script(CALL, Text("High at noon."), Text("done"))
    ctx = context(models)
    await answer(ctx, Counting("look-up"), display=display)
    inner = [event for event in ctx.events if event.data.get("workerId") not in {None, str(ctx.task.id)}]
    assert [event.type for event in inner] == heard
    assert "input" not in inner[0].data if inner else True
    check_leg(ctx.events)


async def test_a_model_reads_why_a_worker_failed_and_what_it_did_counts(
    server: ScriptedOpenAI, models: Models
) -> None:
    broken = HELPER.replace("    output: TEXT\n", "    output: TEXT\n    responseType: Town\n", 1)
    broken = "types:\n  Town:\n    name: {type: string}\n" + broken
    server.script(CALL, Text("no JSON"), Text("sorry"))
    ctx = context(models)
    result = await answer(ctx, Counting("look-up"), helper=broken)
    assert (result.output, result.used.calls) == ("sorry", 3)
    told: Any = server.requests[-1].body["messages"]
    assert "no JSON" in told[-1]["content"]
    assert "is no JSON" in data(ctx, "worker-result")[0]["error"]
    check_leg(ctx.events)


async def test_a_call_that_does_not_fit_starts_no_worker(server: ScriptedOpenAI, models: Models) -> None:
    server.script(ToolCall("helper", {"WHO": 1}), Text("sorry"))
    ctx = context(models)
    await answer(ctx)
    assert not {"worker-input-start", "tool-input-start"} & set(said(ctx))
    assert len(data(ctx, "worker-start")) == 1
    told: Any = server.requests[-1].body["messages"]
    assert "do not fit" in told[-1]["content"]


async def test_workers_of_one_round_ask_one_after_another_and_go_on_inside(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(
        ToolCall("helper", {"WHAT": "tide"}, also=(ToolCall("helper", {"WHAT": "wind"}, "call_2"),)),
        *(Text("first"), Text("second"), Text("both")),
    )
    ctx, answers, legs = context(models), dict[str, Any](), []
    for number in range(2):
        with pytest.raises(Parked) as parked:
            await answer(ctx)
        (call,) = parked.value.question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
        assert call["toolName"] == "look-up", "the caller's name of the tool, which the client knows"
        answers[parked.value.question.key] = [{"toolCallId": call["toolCallId"], "result": number}]
        legs.append(ctx)
        ctx = again(ctx, client=answers)
    result = await answer(ctx)
    assert result.output == "both"
    assert result.used.calls == len(server.requests) == 4, "no model is asked twice"
    check_leg(shown(*legs, ctx))


async def test_a_run_that_was_cut_in_an_inner_worker_goes_on_inside(
    server: ScriptedOpenAI, models: Models
) -> None:
    two = HELPER.replace(
        "  Begin:\n",
        "  Again:\n    block: tool-call\n    tool: search\n    input: {what: WHAT}\n  Begin:\n",
    )
    tool = Counting("look-up", ["rising", LeaseLost("gone"), "falling"])
    server.script(CALL, Text("High at noon."), Text("done"))
    first = context(models)
    with pytest.raises(LeaseLost):
        await answer(first, tool, helper=two)
    second = again(first, resume=Resume.RESCUED)
    result = await answer(second, tool, helper=two)
    assert (result.output, result.used.calls) == ("done", 3)
    assert len(server.requests) == 3
    assert tool.keys[1] == tool.keys[2] != tool.keys[0]
    events = shown(first, second)
    check_leg(events)
    assert [event.type for event in events].count("worker-start") == 2
    assert [event.type for event in events].count("worker-result") == 2


async def test_workers_that_call_themselves_come_to_an_end(server: ScriptedOpenAI, models: Models) -> None:
    server.script(*[ToolCall("helper", {"TOPIC": "sea"})] * 8, *[Text("enough")] * 8)
    ctx = context(models)
    itself = OUTER.replace("    tools: {search: look-up}\n", "").replace("DISPLAY", "stream")
    result = await answer(ctx, outer=itself, helper=itself)
    assert result.output == "enough"
    assert len(data(ctx, "worker-start")) == 9
    assert "more than 8 deep" in data(ctx, "worker-result")[0]["error"]
    check_leg(ctx.events)


async def test_a_worker_that_is_not_there_is_refused_before_the_model_is_asked(
    server: ScriptedOpenAI, models: Models
) -> None:
    with pytest.raises(ProcessorError) as caught:
        await run(definition(OUTER.replace("DISPLAY", "name")), {"TOPIC": "sea"}, ctx=context(models))
    assert (caught.value.code, server.requests) == ("unknown_worker", ())


@pytest.mark.parametrize("policy", ["retry: {attempts: 2, delay: 1ms}", "onError: continue"])
async def test_a_worker_that_a_step_tries_twice_has_a_result_for_each_start(policy: str) -> None:
    protocol = OUTER.partition("steps:")[0].replace("DISPLAY", "stream") + (
        f"steps:\n  Call:\n    block: run-worker\n    worker: helper\n    input: {{WHAT: TOPIC}}\n    {policy}\n"
    )
    helper = HELPER.partition("  Begin:")[0] + "output: FOUND\n"
    tool = Counting("look-up", [ToolError("Not yet."), "there"])
    _, ctx = await run(
        definition(protocol), {"TOPIC": "sea"}, tools=[tool], library={"helper": definition(helper)}
    )
    check_leg(ctx.events)
    assert said(ctx).count("worker-start") == said(ctx).count("worker-result")
