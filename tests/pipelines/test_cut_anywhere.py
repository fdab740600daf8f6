"""An attempt may end before any event and before any checkpoint; the next one goes on as if nothing had been."""

from __future__ import annotations

from collections import Counter
from typing import Any

from agent_worker.domain.errors import LeaseLost
from agent_worker.domain.events import Event, visible_events
from agent_worker.domain.json import JsonValue
from agent_worker.domain.replay import Call, Checkpoint, Parked
from agent_worker.domain.task import Resume
from agent_worker.pipelines.running.runner import Result
from agent_worker.testing.context import FakeContext, make_task
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, check_leg, run, without_ids
from tests.pipelines.sources import definition, worker

SECTIONS = """
tools:
  ours: {description: Ours, parameters: {what: {type: string}}}
  theirs: {description: Theirs, parameters: {what: {type: string}}}
"""
STEPS = """
    Look:
      block: tool-call
      tool: ours
      input: {what: TOPIC}
      output: A
    Each:
      block: for-each
      in: LIST
      as: ITEM
      collect: A
      output: B
      steps:
        Look again:
          block: tool-call
          tool: ours
          input: {what: ITEM}
          output: A
        Twice:
          block: repeat
          maxIterations: 2
          steps:
            Note:
              block: set-variable
              variable: A
              value: ITEM
              display: name
    Begin:
      block: start-thread
      thread: agent
      model: echo/echo
      system: system
      tools: [ours]
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
    Decide:
      block: human-approval
      prompt: ask
      input: [TOPIC]
      output: A
    Ask the client:
      block: tool-call
      tool: theirs
      input: {what: TOPIC}
    Try:
      block: tool-call
      tool: ours
      input: {what: TOPIC}
      onError: continue
"""
GIVEN = {"TOPIC": "sea", "KIND": "x", "LIST": ["a", "b"]}


class Cut(FakeContext):
    """Loses its lease at one of its writes."""

    writes_left = 10**9

    async def emit(self, event: Event) -> None:
        self._write()
        await super().emit(event)

    def remember(self, checkpoint: Checkpoint) -> JsonValue:
        self._write()
        return super().remember(checkpoint)

    def _write(self) -> None:
        if self.writes_left == 0:
            self.lose_lease()
            raise LeaseLost("The worker is gone.")
        self.writes_left -= 1


async def run_on(ctx: FakeContext, tool: Counting) -> tuple[Result, list[tuple[str, Any]], int]:
    """Run attempts to the end; return the result, all rows of the events table, and how many attempts were cut."""
    source = definition(worker(sections=SECTIONS, steps=STEPS, output="output: B\n"))
    rows: list[tuple[str, Any]] = []
    cuts = 0
    while True:
        keep = [key for key, known in ctx._known.items() if known.call is Call.STEP]
        rows.append(("attempt-start", {"keep": keep}))
        answers: dict[str, Any] = {}
        resume = Resume.ANSWERED
        result = None
        try:
            result, _ = await run(source, GIVEN, ctx=ctx, tools=[tool])
        except Parked as parked:
            question = parked.question
            if question.call is Call.HUMAN:
                answers["human"] = {question.key: {"approved": True}}
            else:
                (call,) = question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
                answers["client"] = {question.key: [{"toolCallId": call["toolCallId"], "result": 7}]}
        except LeaseLost:
            cuts, resume = cuts + 1, Resume.RESCUED
        rows += [(event.type, dict(event.data)) for event in ctx.events]
        if result is not None:
            return result, rows, cuts
        ctx = ctx.again(resume=resume, **answers)


def script() -> Counting:
    """A tool that answers what it is asked, and fails in the last step."""

    class Scripted(Counting):
        async def call(self, arguments: Any, *, idempotency_key: str) -> Any:
            await super().call(arguments, idempotency_key=idempotency_key)
            if "Try" in idempotency_key:
                raise ToolError("Broken.")
            return arguments["what"].upper()

    return Scripted("ours")


def told(rows: list[tuple[str, Any]]) -> list[Event]:
    first, *rest = visible_events(rows)
    return [Event(*first), *(Event(kind, fields) for kind, fields in rest if kind != "start")]


async def test_a_run_that_is_cut_at_any_write_ends_like_one_that_is_not() -> None:
    whole, tool = Cut(make_task(kind="pipeline")), script()
    expected, rows, _ = await run_on(whole, tool)
    events = without_ids(told(rows), whole.task.id)
    keys = {key.removeprefix(str(whole.task.id)) for key in tool.keys}
    assert len(events) > 40
    for writes in range(1_000):
        ctx, tool = Cut(make_task(kind="pipeline")), script()
        ctx.writes_left = writes
        result, rows, cuts = await run_on(ctx, tool)
        check_leg(told(rows))
        assert without_ids(told(rows), ctx.task.id) == events, writes
        assert result == expected, writes
        called = Counter(key.removeprefix(str(ctx.task.id)) for key in tool.keys)
        assert set(called) == keys, writes
        if cuts == 0:
            break
    else:
        raise AssertionError("it was cut every time")
    assert writes > 20
