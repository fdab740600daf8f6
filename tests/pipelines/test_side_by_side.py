"""Loops, branches and questions in memory: several lines of steps at once, and attempts that go on from before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_worker.domain.errors import LeaseLost, Postponed, ProcessorError
from agent_worker.domain.json import JsonObject
from agent_worker.domain.replay import Call, Parked
from agent_worker.domain.task import Resume
from agent_worker.testing.context import FakeContext
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, check_leg, data, failing_task, run, said
from tests.pipelines.sources import definition, worker

GIVEN: JsonObject = {"TOPIC": "sea", "KIND": "x", "LIST": ["a", "b", "c"]}
TOOL = """
tools:
  look-up:
    description: Look it up
    parameters:
      what: {type: string}
  remote:
    description: Only the client has it
    parameters:
      what: {type: string}
"""
EACH = """
Each:
  block: for-each
  in: LIST
  as: ITEM
  concurrency: 3
  collect: A
  output: B
  steps:
    Look:
      block: tool-call
      tool: look-up
      input: {what: ITEM}
      output: A
"""


def looping(extra: str = "", steps: str = EACH) -> Any:
    return definition(worker(sections=TOOL, steps=steps + extra, output="output: B\n"))


class Upper(Counting):
    """Answers in capitals; fails for what is in `failing`."""

    failing: frozenset[str] = frozenset()

    async def call(self, arguments: JsonObject, *, idempotency_key: str) -> Any:
        self.keys.append(idempotency_key)
        self.calls.append(arguments)
        what = str(arguments["what"])
        if what in self.failing:
            raise ToolError(f"No {what}.")
        return what.upper()


async def test_items_run_at_once_and_their_results_keep_the_order() -> None:
    together = asyncio.Barrier(3)

    class Meeting(Upper):
        async def call(self, arguments: JsonObject, *, idempotency_key: str) -> Any:
            await together.wait()
            return await super().call(arguments, idempotency_key=idempotency_key)

    result, ctx = await run(looping(), GIVEN, tools=[Meeting("look-up")])
    assert result.output == ["A", "B", "C"]
    assert len({each["blockId"] for each in data(ctx, "block-start")}) == 4
    check_leg(ctx.events)


@pytest.mark.parametrize(("tolerated", "output"), [("1", ["A", None, "C"]), ("40%", ["A", None, "C"])])
async def test_as_many_items_may_fail_as_the_loop_says(tolerated: str, output: list[object]) -> None:
    tool = Upper("look-up")
    tool.failing = frozenset("b")
    tolerant = EACH.replace("  collect: A", f"  tolerateFailures: {tolerated}\n  collect: A")
    result, ctx = await run(looping(steps=tolerant), GIVEN, tools=[tool])
    assert result.output == output
    check_leg(ctx.events)


async def test_the_next_attempt_runs_only_the_items_that_are_not_finished() -> None:
    tool = Upper("look-up")
    tool.failing = frozenset("b")
    ctx = FakeContext(failing_task(attempts=2))
    with pytest.raises(ToolError, match=r"No b\."):
        await run(looping(), GIVEN, ctx=ctx, tools=[tool])
    check_leg(ctx.events, ends=("block-end",))
    tool.failing = frozenset()
    again = ctx.again(resume=Resume.RETRY)
    result, _ = await run(looping(), GIVEN, ctx=again, tools=[tool])
    assert result.output == ["A", "B", "C"]
    assert [call["what"] for call in tool.calls] == ["a", "b", "c", "b"]
    assert tool.keys[3] == tool.keys[1]


async def test_a_finished_loop_is_one_look_up_for_the_next_attempt() -> None:
    tool = Upper("look-up")
    ask = "Ask:\n  block: human-approval\n  prompt: ask\n  input: [TOPIC]\n"
    ctx = FakeContext()
    with pytest.raises(Parked):
        await run(looping(ask), GIVEN, ctx=ctx, tools=[tool])
    again = ctx.again(human={"ask:steps.Ask": {"approved": True}})
    result, _ = await run(looping(ask), GIVEN, ctx=again, tools=[tool])
    assert result.output == ["A", "B", "C"]
    assert len(tool.calls) == 3
    assert said(again) == [
        *("start", "block-start", "human-answer", "block-end", "worker-result", "finish", "usage"),
    ]


async def test_questions_asked_side_by_side_come_one_at_a_time() -> None:
    steps = EACH.replace("tool: look-up", "tool: remote")
    ctx = FakeContext()
    answers: dict[str, Any] = {}
    for _ in range(3):
        with pytest.raises(Parked):
            await run(looping(steps=steps), GIVEN, ctx=ctx, tools=[])
        (question,) = ctx.questions
        assert question.call is Call.CLIENT
        (call,) = question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
        answers[question.key] = [{"toolCallId": call["toolCallId"], "result": call["args"]["what"] + "!"}]
        ctx = ctx.again(client=answers)
    result, _ = await run(looping(steps=steps), GIVEN, ctx=ctx)
    assert result.output == ["a!", "b!", "c!"]


async def test_what_another_branch_does_is_finished_before_the_task_parks() -> None:
    steps = """
    Both:
      block: parallel
      branches:
        One:
          Ask:
            block: human-approval
            prompt: ask
            input: [TOPIC]
            approved: A
        Two:
          Look:
            block: tool-call
            tool: look-up
            input: {what: TOPIC}
            output: B
    """
    tool = Upper("look-up")
    source = looping(steps=steps)
    ctx = FakeContext()
    with pytest.raises(Parked):
        await run(source, GIVEN, ctx=ctx, tools=[tool])
    assert said(ctx)[-2:] == ["block-end", "finish"], "the leg's last event closes it"
    again = ctx.again(human={"ask:steps.Both.branches.One.Ask": {"approved": False}})
    result, _ = await run(source, GIVEN, ctx=again, tools=[tool])
    assert result.output == "SEA"
    assert len(tool.calls) == 1


async def test_a_loop_repeats_until_its_condition_holds() -> None:
    steps = """
    Try:
      block: repeat
      until: B == "3"
      maxIterations: 5
      steps:
        Look:
          block: tool-call
          tool: look-up
          input: {what: TOPIC}
          output: B
    """
    result, ctx = await run(looping(steps=steps), GIVEN, tools=[Counting("look-up")])
    assert result.output == 3
    check_leg(ctx.events)


@pytest.mark.parametrize(("kind", "output"), [("x", "first"), ("y", "second")])
async def test_a_branch_and_an_if_choose_by_their_value(kind: str, output: str) -> None:
    steps = """
    Choose:
      block: branch
      value: KIND
      cases:
        x:
          First: {block: set-variable, variable: A, value: first}
      default:
        Second: {block: set-variable, variable: A, value: second}
    If:
      block: if
      condition: A == "first"
      then:
        Set: {block: set-variable, variable: B, value: first}
      else:
        Set2: {block: set-variable, variable: B, value: second}
    """
    result, _ = await run(looping(steps=steps), {**GIVEN, "KIND": kind})
    assert result.output == output


async def test_a_step_whose_condition_does_not_hold_says_and_does_nothing() -> None:
    steps = EACH.replace("  in: LIST", '  if: KIND == "y"\n  in: LIST')
    result, ctx = await run(looping(steps=steps), GIVEN, tools=[Upper("look-up")])
    assert result.output is None
    assert "block-start" not in said(ctx)


async def test_a_person_who_is_late_decides_as_the_step_says() -> None:
    steps = """
    Ask:
      block: human-approval
      prompt: ask
      input: [TOPIC]
      timeout: 1h
      onTimeout: reject
      approved: B
    """
    late = ProcessorError("Nobody answered.", code="human_timeout", retryable=False)
    result, _ = await run(looping(steps=steps), GIVEN, ctx=FakeContext(human={"ask:steps.Ask": late}))
    assert result.output is False


async def test_a_long_wait_postpones_and_keeps_its_moment() -> None:
    steps = "Rest:\n  block: wait\n  for: 1h\n"
    ctx = FakeContext()
    with pytest.raises(Postponed) as first:
        await run(looping(steps=steps), GIVEN, ctx=ctx)
    with pytest.raises(Postponed) as second:
        await run(looping(steps=steps), GIVEN, ctx=ctx.again(resume=Resume.POSTPONED))
    assert 3590 < (second.value.retry_after_s or 0) < (first.value.retry_after_s or 0) <= 3600


async def test_a_lost_lease_says_nothing_more() -> None:
    ctx = FakeContext()

    class Losing(Upper):
        async def call(self, arguments: JsonObject, *, idempotency_key: str) -> Any:
            ctx.lose_lease()
            return "late"

    with pytest.raises(LeaseLost):
        await run(looping(), GIVEN, ctx=ctx, tools=[Losing("look-up")])
    assert "worker-result" not in said(ctx)
