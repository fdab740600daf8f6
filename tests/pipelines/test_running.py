"""Workers in memory: blocks one after another, what they say, what fails."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent_worker.domain.errors import InvalidPayload, ProcessorError
from agent_worker.domain.images import ImageRequest, Picture
from agent_worker.domain.replay import Checkpoint
from agent_worker.llm.images import MAX_PICTURE_BYTES
from agent_worker.testing.context import FakeContext
from agent_worker.tools.function import FunctionTool
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, check_leg, data, failing_task, run, said, texts
from tests.pipelines.sources import WORKER, definition, worker

TOOL = """
tools:
  look-up:
    description: Look it up
    parameters:
      what: {type: string}
"""


async def test_a_linear_worker_streams_its_answer_and_ends_with_its_output() -> None:
    result, ctx = await run(definition(WORKER), {"TOPIC": "two words"})
    assert result.output == "two words"
    assert said(ctx) == [
        "start",
        "worker-start",
        "block-start",
        "text-start",
        *["text-delta"] * said(ctx).count("text-delta"),
        "text-end",
        "block-end",
        "worker-result",
        "finish",
        "usage",
    ]
    assert texts(ctx) == "two words"
    assert result.used.calls == 1
    execution = str(ctx.task.id)
    assert data(ctx, "start")[0]["executionId"] == execution
    assert data(ctx, "worker-start") == [
        {
            "workerId": execution,
            "workerSlug": "a-worker",
            "input": {"TOPIC": "two words"},
            "step": "run:start",
        }
    ]
    assert data(ctx, "worker-result") == [{"workerId": execution, "output": "two words"}]
    (usage,) = data(ctx, "usage")
    assert usage["cost"] == {
        "currency": "USD",
        "bandwidthFee": 0,
        "byok": True,
        "providerFee": 0.0,
        "totalFee": 0.0,
    }
    assert usage["tokens"]["totalTokens"] == result.used.tokens > 0
    (block,) = data(ctx, "block-start")
    assert {**block, "step": ""} == {
        "blockId": "steps.Answer",
        "blockName": "Answer",
        "blockType": "next-message",
        "display": "stream",
        "thread": "talk",
        "workerId": execution,
        "step": "",
    }
    check_leg(ctx.events)


async def test_an_input_that_does_not_fit_is_refused_with_its_path() -> None:
    with pytest.raises(InvalidPayload, match=r"\$\.input\.TOPIC"):
        await run(definition(WORKER), {"TOPIC": 7})


async def test_a_tool_of_the_worker_is_called_with_a_key_and_its_result_written() -> None:
    tool = Counting("look-up", [{"found": True}])
    steps = "Look:\n  block: tool-call\n  tool: look-up\n  input: {what: TOPIC}\n  output: A\n"
    result, ctx = await run(
        definition(worker(sections=TOOL, steps=steps, output="output: A\n")),
        {"TOPIC": "sea", "KIND": "x", "LIST": []},
        tools=[tool],
    )
    assert result.output == {"found": True}
    assert tool.calls == [{"what": "sea"}]
    assert tool.keys == [f"{ctx.task.id}:steps.Look:1.0"]
    assert said(ctx)[2:-3] == [
        "block-start",
        "tool-input-start",
        "tool-input-end",
        "tool-input-available",
        "tool-output-available",
        "block-end",
    ]
    check_leg(ctx.events)


async def test_a_failing_tool_fails_the_run_and_every_start_has_its_end() -> None:
    tool = Counting("look-up", [ToolError("Not today.", retryable=False)])
    steps = "Look:\n  block: tool-call\n  tool: look-up\n  input: {what: TOPIC}\n"
    ctx = FakeContext(failing_task())
    with pytest.raises(ToolError, match="Not today"):
        await run(
            definition(worker(sections=TOOL, steps=steps)),
            {"TOPIC": "sea", "KIND": "x", "LIST": []},
            ctx=ctx,
            tools=[tool],
        )
    assert said(ctx)[-3:] == ["tool-output-error", "block-end", "worker-result"]
    assert "Not today." in data(ctx, "worker-result")[0]["error"]
    check_leg(ctx.events, ends=("worker-result",))


@pytest.mark.parametrize(
    ("policy", "output"),
    [
        ("onError: continue", None),
        ("onError: {default: [1, 2]}", [1, 2]),
        ("retry: {attempts: 2, delay: 1ms}", "second"),
    ],
)
async def test_what_follows_a_failure_is_what_the_step_says(policy: str, output: object) -> None:
    tool = Counting("look-up", [ToolError("Not yet."), "second"])
    steps = f"Look:\n  block: tool-call\n  tool: look-up\n  input: {{what: TOPIC}}\n  output: A\n  {policy}\n"
    result, ctx = await run(
        definition(worker(sections=TOOL, steps=steps, output="output: A\n")),
        {"TOPIC": "sea", "KIND": "x", "LIST": []},
        tools=[tool],
    )
    assert result.output == output
    assert ("step-retry" in said(ctx)) == policy.startswith("retry")
    assert ("step-failed" in said(ctx)) == policy.startswith("onError")


def waited(ctx: FakeContext) -> list[bool]:
    """Tell of each failed try whether the next one waits."""
    return [event["delayS"] > 0 for event in data(ctx, "step-retry")]


RETRYING = worker(
    sections=TOOL,
    steps="""
    Look:
      block: tool-call
      tool: look-up
      input: {what: TOPIC}
      retry: {attempts: 3, delay: 20ms}
    """,
)
GIVEN = {"TOPIC": "sea", "KIND": "x", "LIST": []}


async def test_a_run_that_goes_on_does_not_wait_again_before_tries_that_were_made() -> None:
    known: dict[str, Checkpoint] = {}
    died = Counting("look-up", [ToolError("Not yet."), ToolError("Not yet."), asyncio.CancelledError()])
    ctx = FakeContext(failing_task(), known=known)
    with pytest.raises(asyncio.CancelledError):
        await run(definition(RETRYING), GIVEN, ctx=ctx, tools=[died])
    assert waited(ctx) == [True, True]
    tool = Counting("look-up", [ToolError("Not yet."), ToolError("Not yet."), "third"])
    _, ctx = await run(definition(RETRYING), GIVEN, ctx=FakeContext(known=known), tools=[tool])
    assert waited(ctx) == [False, False]


async def test_tries_that_begin_anew_wait_anew() -> None:
    known: dict[str, Checkpoint] = {}
    for _ in range(2):
        tool = Counting("look-up", [ToolError("Not yet.")] * 3)
        ctx = FakeContext(failing_task(), known=known)
        with pytest.raises(ToolError):
            await run(definition(RETRYING), GIVEN, ctx=ctx, tools=[tool])
        assert waited(ctx) == [True, True]


async def test_goto_leaves_out_the_steps_between() -> None:
    steps = """
    Look:
      block: tool-call
      tool: look-up
      input: {what: TOPIC}
      onError: {goto: Last}
    Between:
      block: set-variable
      variable: A
      value: between
    Last:
      block: set-variable
      variable: B
      value: last
    """
    tool = Counting("look-up", [ToolError("No.", retryable=False)])
    source = definition(worker(sections=TOOL, steps=steps, output="output: A\n"))
    result, _ = await run(source, {"TOPIC": "sea", "KIND": "x", "LIST": []}, tools=[tool])
    assert result.output is None


async def test_a_step_that_takes_too_long_fails_with_its_own_code() -> None:
    async def look_up(what: str) -> str:
        await asyncio.Event().wait()
        return what

    steps = "Look:\n  block: tool-call\n  tool: look-up\n  input: {what: TOPIC}\n  timeout: 20ms\n"
    with pytest.raises(ProcessorError) as caught:
        await run(
            definition(worker(sections=TOOL, steps=steps)),
            {"TOPIC": "sea", "KIND": "x", "LIST": []},
            ctx=FakeContext(failing_task()),
            tools=[FunctionTool(look_up)],
        )
    assert caught.value.code == "step_timeout"


async def test_a_structured_answer_is_checked_and_written_as_data() -> None:
    sections = "types:\n  Town:\n    name: {type: string}\n    people: {type: integer, optional: true}\n"
    steps = """
    Ask:
      block: add-message
      thread: talk
      role: user
      prompt: ask
      input: [TOPIC]
    Answer:
      block: next-message
      thread: talk
      responseType: Town
      output: A
    """
    source = definition(worker(sections=sections, steps=steps, output="output: A\n"))
    given = {"KIND": "x", "LIST": []}
    result, ctx = await run(source, {**given, "TOPIC": json.dumps({"name": "Ulm", "people": None})})
    assert result.output == {"name": "Ulm"}
    assert data(ctx, "text-start")[0]["responseType"] == "Town"
    with pytest.raises(ProcessorError) as caught:
        await run(source, {**given, "TOPIC": '{"name": 7, "people": 1}'})
    assert caught.value.code == "invalid_model_output"


async def test_a_hidden_block_says_nothing_and_a_named_one_no_text() -> None:
    hidden = WORKER.replace("    output: ANSWER", "    output: ANSWER\n    display: hidden")
    result, ctx = await run(definition(hidden), {"TOPIC": "sea"})
    assert result.output == "sea"
    assert said(ctx) == ["start", "worker-start", "worker-result", "finish", "usage"]
    named = WORKER.replace("    output: ANSWER", "    output: ANSWER\n    display: name")
    _, ctx = await run(definition(named), {"TOPIC": "sea"})
    assert said(ctx) == [
        "start",
        "worker-start",
        "block-start",
        "block-end",
        "worker-result",
        "finish",
        "usage",
    ]


async def test_skills_are_refused_because_there_is_no_sandbox() -> None:
    protocol = WORKER.replace("variables:", "skills:\n  pdf: {}\nvariables:", 1).replace(
        "    system: system", "    system: system\n    skills: [pdf]"
    )
    with pytest.raises(ProcessorError) as caught:
        await run(definition(protocol), {"TOPIC": "sea"})
    assert (caught.value.code, caught.value.retryable) == ("sandbox_unavailable", False)


@pytest.mark.parametrize("limit", ["maxLlmCalls: 1", "maxTokens: 3"])
async def test_a_limit_ends_the_run(limit: str) -> None:
    twice = WORKER.replace(
        "output: ANSWER\n", "output: ANSWER\n  Again:\n    block: next-message\n    thread: talk\n", 1
    )
    with pytest.raises(ProcessorError) as caught:
        await run(definition(f"limits: {{{limit}}}\n{twice}"), {"TOPIC": "sea and sand and more"})
    assert (caught.value.code, caught.value.retryable) == ("limit_exceeded", False)


async def test_a_run_ends_when_its_time_is_up() -> None:
    async def look_up(what: str) -> str:
        await asyncio.Event().wait()
        return what

    steps = "Look:\n  block: tool-call\n  tool: look-up\n  input: {what: TOPIC}\n"
    ctx = FakeContext(failing_task())
    with pytest.raises(ProcessorError) as caught:
        await run(
            definition("limits: {timeout: 20ms}\n" + worker(sections=TOOL, steps=steps)),
            {"TOPIC": "sea", "KIND": "x", "LIST": []},
            ctx=ctx,
            tools=[FunctionTool(look_up)],
        )
    assert caught.value.code == "limit_exceeded"
    check_leg(ctx.events, ends=("worker-result",))


async def test_a_conversation_is_serialised() -> None:
    protocol = WORKER.replace(
        "output: ANSWER\noutput",
        "output: ANSWER\n  Write:\n    block: serialize-thread\n    thread: talk\n    output: ANSWER\noutput",
    )
    result, _ = await run(definition(protocol), {"TOPIC": "sea"})
    assert result.output == "## User\n\nsea\n\n## Assistant\n\nsea"


async def test_another_worker_runs_inside_with_events_of_its_own() -> None:
    inner = definition(WORKER)
    steps = "Call:\n  block: run-worker\n  worker: inner\n  input: {TOPIC: TOPIC}\n  output: A\n"
    sections = "workers:\n  inner: {description: Answers}\n"
    source = definition(worker(sections=sections, steps=steps, output="output: A\n"))
    result, ctx = await run(source, {"TOPIC": "sea", "KIND": "x", "LIST": []}, library={"inner": inner})
    assert result.output == "sea"
    assert result.used.calls == 1
    outer_id, inner_id = (each["workerId"] for each in data(ctx, "worker-start"))
    assert [each["workerId"] for each in data(ctx, "worker-result")] == [inner_id, outer_id]
    assert {each["workerId"] for each in data(ctx, "text-delta")} == {inner_id}
    check_leg(ctx.events)


async def test_pictures_without_a_provider_fail_clearly() -> None:
    steps = "Draw:\n  block: generate-image\n  prompt: TOPIC\n  imageModel: openai/gpt-image\n  output: A\n"
    with pytest.raises(ProcessorError, match="No provider of pictures"):
        await run(definition(worker(steps=steps)), {"TOPIC": "sea", "KIND": "x", "LIST": []})


LARGEST_PICTURE = "data:image/png;base64," + "A" * (MAX_PICTURE_BYTES * 4 // 3 + 4)


@pytest.mark.parametrize("address", ["https://example.org/sea.png", LARGEST_PICTURE], ids=["web", "data"])
async def test_a_picture_comes_with_its_address(address: str) -> None:
    class Painter:
        async def generate(self, model: str, request: ImageRequest) -> Picture:
            assert (model, request.prompt) == ("openai/gpt-image", "sea")
            return Picture(address)

    steps = "Draw:\n  block: generate-image\n  prompt: TOPIC\n  imageModel: openai/gpt-image\n  output: A\n"
    result, ctx = await run(
        definition(worker(steps=steps, output="output: A\n")),
        {"TOPIC": "sea", "KIND": "x", "LIST": []},
        images=Painter(),
    )
    assert result.output == address
    assert data(ctx, "file-available")[0]["url"] == address


async def test_long_names_of_steps_fit_into_keys_and_stay_different() -> None:
    long = "A step that is called " + "very " * 100
    steps = f"""
  {long}1:
    block: repeat
    maxIterations: 2
    until: "DONE"
    steps:
      {long}:
        block: parallel
        branches:
          {long}a: {{{long}: {{block: next-message, thread: talk, output: ANSWER}}}}
          {long}b: {{{long}: {{block: set-variable, variable: OTHER, value: x, display: name}}}}
  {long}2:
    block: set-variable
    variable: OTHER
    value: y
    display: name
"""
    known: dict[str, Checkpoint] = {}
    text = WORKER.replace("  ANSWER:", "  DONE: {type: boolean}\n  OTHER: {type: string}\n  ANSWER:", 1)
    await run(
        definition(text.replace("output: ANSWER\noutput", f"output: ANSWER\n{steps}output")),
        {"TOPIC": "x"},
        ctx=FakeContext(known=known),
    )

    blocks = [key for key in known if key.startswith("block:")]
    assert max(map(len, known)) <= 255
    assert len(blocks) == 1 + 2 * 3 + 1 + 1
