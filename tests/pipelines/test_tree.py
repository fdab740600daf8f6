"""A run as a tree of its steps: what people see of it, live and afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.events import Event, attempt_start
from agent_worker.domain.records import TaskEvent
from agent_worker.domain.replay import Call, Checkpoint, Parked
from agent_worker.domain.task import Resume
from agent_worker.pipelines.telling.taken import Called, Remark, Said, Taken
from agent_worker.pipelines.telling.tree import RunTree
from agent_worker.testing.context import FakeContext
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import Counting, run
from tests.pipelines.sources import WORKER, definition
from tests.pipelines.test_examples_run import example

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def grown(*events: Event) -> RunTree:
    """The tree of events that follow each other by a second."""
    tree = RunTree()
    for number, event in enumerate(events, 1):
        at = NOON + timedelta(seconds=number)
        tree.feed(TaskEvent(number, event.type, event.data, 1, at))
    return tree


def steps(entries: Sequence[object]) -> list[Taken]:
    return [entry for entry in entries if isinstance(entry, Taken)]


def labels(step: Taken) -> list[tuple[str | None, tuple[int, ...], str, str]]:
    return [(inner.branch, inner.rounds, inner.name, inner.state) for inner in step.steps]


async def test_branches_loops_and_questions_are_inside_the_steps_they_belong_to() -> None:
    given = {"LETTER": "I am cross.", "KIND": "complaint"}
    known: dict[str, Checkpoint] = {}
    ctx = FakeContext(known=known)
    with pytest.raises(Parked) as parked:
        await run(example("approve-reply"), given, ctx=ctx)
    asked = ctx.events
    tree = grown(*asked)
    prepare, until = steps(tree.entries)
    assert (tree.slug, prepare.state, until.state) == ("approve-reply", "completed", "processing")
    assert labels(prepare) == [("Facts", (), "Find the facts", "completed")]
    assert labels(until) == [
        (None, (0,), "Draft", "completed"),
        (None, (0,), "Let a person decide", "processing"),
    ]
    assert prepare.tokens == prepare.steps[0].tokens is not None
    (text,) = prepare.steps[0].parts
    assert isinstance(text, Said)
    assert "I am cross." in text.text
    assert tree.is_parked

    start = restart(known)
    again = ctx.again(human={parked.value.question.key: {"approved": True}})
    await run(example("approve-reply"), given, ctx=again)
    tree = grown(*asked, start, *again.events)
    assert tree.has_result
    _, until = steps(tree.entries)
    assert labels(until)[1:] == [(None, (0,), "Let a person decide", "completed")]
    decided = until.steps[1]
    assert decided.began_at < until.steps[0].ended_at + timedelta(seconds=2)  # type: ignore[operator]
    (answer,) = decided.parts
    assert isinstance(answer, Called)
    assert answer.output == {"approved": True}


def restart(known: dict[str, Checkpoint]) -> Event:
    """The start of the next attempt, which keeps what was said in steps that had finished."""
    keep = [each.key for each in known.values() if each.call is Call.STEP]
    return attempt_start(attempt=2, resume=Resume.ANSWERED.value, keep=keep)


async def test_an_item_for_each_round_in_the_order_of_the_rounds() -> None:
    _, ctx = await run(example("translate-each"), {"TEXTS": ["a", "b", "c"], "LANGUAGE": "Latin"})
    (each,) = steps(grown(*reversed_rounds(ctx.events)).entries)
    assert labels(each) == [(None, (n,), "Translate", "completed") for n in range(3)]


def reversed_rounds(events: Sequence[Event]) -> list[Event]:
    """The same run with its rounds the other way round, as they may come when they run side by side."""
    ends = [n for n, event in enumerate(events) if event.type == "block-end"][:-1]
    first = next(n for n, event in enumerate(events) if event.type == "text-start") - 1
    parts = [
        events[begin:end]
        for begin, end in zip([first, *(n + 1 for n in ends)], [n + 1 for n in ends], strict=False)
    ]
    return [
        *events[:first],
        *(event for part in reversed(parts) for event in part),
        *events[ends[-1] + 1 :],
    ]


async def test_a_worker_that_a_step_runs_is_inside_the_step() -> None:
    outer = definition(
        """
input:
  TOPIC: {type: string}
variables:
  ANSWER: {type: string}
workers:
  inner: {description: Answers}
steps:
  Twice:
    block: repeat
    maxIterations: 2
    steps:
      Ask the other:
        block: run-worker
        worker: inner
        input: {TOPIC: TOPIC}
        output: ANSWER
output: ANSWER
"""
    )
    inner = definition(WORKER)
    _, ctx = await run(outer, {"TOPIC": "x"}, library={"inner": inner})
    (twice,) = steps(grown(*ctx.events).entries)
    assert labels(twice) == [(None, (n,), "Ask the other", "completed") for n in range(2)]
    assert [labels(call) for call in twice.steps] == [[(None, (), "Answer", "completed")]] * 2


async def test_a_call_that_the_client_makes_is_shown_once_though_its_step_begins_again() -> None:
    known: dict[str, Checkpoint] = {}
    ctx = FakeContext(known=known)
    with pytest.raises(Parked) as parked:
        await run(example("research"), {"TOPIC": "tides"}, ctx=ctx)
    start = restart(known)
    results = [{"toolCallId": "steps.Search:1", "result": ["Twice a day."]}]
    again = ctx.again(client={parked.value.question.key: results})
    await run(example("research"), {"TOPIC": "tides"}, ctx=again)
    search, *_ = steps(grown(*ctx.events, start, *again.events).entries)
    (call,) = search.parts
    assert isinstance(call, Called)
    assert call.output == ["Twice a day."]
    assert search.state == "completed"


def test_a_worker_that_a_model_calls_is_inside_the_step_that_asked_the_model() -> None:
    def block(place: str, worker_id: str) -> Event:
        fields = {"blockId": place, "blockName": place.rpartition(".")[2], "blockType": "next-message"}
        return Event("block-start", {**fields, "workerId": worker_id, "step": f"block:{place}"})

    called = {"workerId": "inner", "workerSlug": "short", "step": "worker-0.0-start-0:steps.Ask"}
    tree = grown(
        Event("worker-start", {"workerId": "w", "workerSlug": "long", "step": "run:start"}),
        block("steps.Ask", "w"),
        Event("worker-start", called),
        block("steps.Ask:0.0/steps.E", "inner"),
        Event("human-request", {"key": "k", "title": "Well?", "step": "block:steps.Ask:0.0/steps.E"}),
    )
    (asked,) = steps(tree.entries)
    assert labels(asked) == [(None, (), "short", "waiting")]
    assert labels(asked.steps[0]) == [(None, (), "E", "waiting")]
    assert asked.state == "waiting"


async def test_a_failure_stands_where_it_happened_and_retries_before_it() -> None:
    source = definition(
        """
variables:
  A: {type: unknown}
tools:
  look-up:
    description: Look it up
    parameters: {}
steps:
  Look:
    block: tool-call
    tool: look-up
    output: A
    retry: {attempts: 2, delay: 1ms}
output: A
"""
    )
    ctx = FakeContext()
    tool = Counting("look-up", [ToolError("closed"), ToolError("closed")])
    with pytest.raises(ProcessorError):
        await run(source, {}, ctx=ctx, tools=[tool])
    (look,) = steps(grown(*ctx.events).entries)
    assert look.state == "failed"
    assert "closed" in str(look.error)
    assert [type(part) for part in look.parts] == [Called, Remark, Called]


def test_another_attempt_withdraws_what_it_says_again_and_is_told() -> None:
    def block(kind: str, name: str, step: str) -> Event:
        fields = {"blockId": f"steps.{name}", "blockName": name, "blockType": "next-message", "step": step}
        return Event(kind, fields)

    first = [
        Event("worker-start", {"workerId": "w", "workerSlug": "two", "step": "run:start"}),
        block("block-start", "One", "block:steps.One"),
        block("block-end", "One", "block:steps.One"),
        block("block-start", "Two", "block:steps.Two"),
    ]
    again = attempt_start(attempt=2, resume=Resume.RESCUED.value, keep=["run:start", "block:steps.One"])
    tree = grown(*first, again)
    one, remark = tree.entries
    assert isinstance(one, Taken)
    assert isinstance(remark, Remark)
    assert remark.text == "attempt 2 begins: the worker before died or shut down"

    tree = grown(*first, again, block("block-start", "Two", "block:steps.Two"))
    two = tree.entries[-1]
    assert isinstance(two, Taken)
    assert two.began_at == NOON + timedelta(seconds=4), "it counts from when it first began"
    assert tree.settled() == tree.entries[:-1]
