"""A run that begins in the middle of another one's: what it takes over, and what it refuses to guess."""

from __future__ import annotations

import textwrap
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.client.forking import fork
from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.domain.client_errors import ForkRefused, TaskNotFound
from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.events import visible_events
from agent_worker.domain.replay import Call, Checkpoint
from agent_worker.pipelines.fork import Past, kept_keys
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from tests.pipelines.running import Counting, check_leg
from tests.pipelines.sources import definition
from tests.pipelines.test_durably import as_events, payload, pipeline
from tests.pipelines.test_stored import content, says
from tests.worker.conftest import Rows, StartWorker

SIX = """
input:
  TOPIC: {type: string}
  LIST: {type: 'string[]'}
variables:
  A: {type: unknown}
  B: {type: unknown}
  C: {type: unknown}
  OK: {type: unknown}
tools:
  look-up:
    description: Look it up
    parameters:
      what: {type: string}
steps:
  Open:
    block: start-thread
    thread: talk
    model: echo/echo
    system: system
  First:
    block: tool-call
    tool: look-up
    input: {what: TOPIC}
    output: A
  Each:
    block: for-each
    in: LIST
    as: ITEM
    collect: B
    output: B
    steps:
      Look:
        block: tool-call
        tool: look-up
        input: {what: ITEM}
        output: B
  Say it:
    block: add-message
    thread: talk
    role: user
    prompt: ask
    input: [TOPIC]
  Answer:
    block: next-message
    thread: talk
    output: C
  Approve:
    block: human-approval
    prompt: ask
    input: [TOPIC]
    approved: OK
  Last:
    block: tool-call
    tool: look-up
    input: {what: C}
    output: A
output: A
"""
GIVEN = {"TOPIC": "sea", "LIST": ["x", "y"]}


async def completed(rows: Rows, task_id: UUID) -> dict[str, Any]:
    """Approve what is asked, and return the task as it ends."""
    await rows.reaches(task_id, "waiting")
    await rows.answer(task_id, {"approved": True})
    return await rows.reaches(task_id, "completed")


def whats(tool: Counting) -> list[object]:
    return [call["what"] for call in tool.calls]


def block_names(events: list[tuple[str, dict[str, Any]]]) -> list[object]:
    return [data["blockName"] for kind, data in visible_events(events) if kind == "block-start"]


async def test_a_fork_runs_the_chosen_step_and_what_follows_and_nothing_before(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    tool = Counting("look-up", answers=["a", "x", "y", "last", "last again", "third"])
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(SIX, GIVEN), priority=3, enterprise_id="acme")
        first = await completed(rows, task_id)
        before = await rows.events(task_id)
        assert len(tool.calls) == 4

        fork_id = await fork(db, task_id, "Answer")
        second = await completed(rows, fork_id)
        assert whats(tool)[4:] == ["sea"], "only the last step called it"
        assert tool.keys[4] != tool.keys[3], "it is another run, so its calls are other calls"

        third_id = await fork(db, fork_id, "Last")
        third = await rows.reaches(third_id, "completed")
    assert (first["response_payload"]["output"], second["response_payload"]["output"]) == (
        "last",
        "last again",
    )
    assert third["response_payload"]["output"] == "third", "a fork can be forked"
    assert await rows.events(task_id) == before, "the run that was stays as it was"
    for name in ("kind", "user_id", "enterprise_id", "priority", "max_attempts", "request_payload"):
        assert second[name] == first[name]

    events = await rows.events(fork_id)
    assert block_names(events) == ["Answer", "Approve", "Last"]
    assert block_names(await rows.events(third_id)) == ["Last"]
    assert [kind for kind, _ in events][:3] == ["attempt-start", "start", "worker-start"]
    check_leg(
        [
            event
            for event in as_events(visible_events(events))
            if event.type != "start" or event.data.get("step")
        ]
    )
    usage = third["response_payload"]["usage"]
    assert usage["llm_calls"] == first["response_payload"]["usage"]["llm_calls"] == 1, (
        "what was taken over counts"
    )


async def test_a_fork_from_the_first_step_is_the_whole_run_again(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    tool = Counting("look-up")
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(SIX, GIVEN))
        await completed(rows, task_id)
        await completed(rows, await fork(db, task_id, "Open"))
    assert len(tool.calls) == 8


async def test_the_steps_that_run_see_the_new_input_and_the_old_results(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    tool = Counting("look-up")
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(SIX, GIVEN))
        await completed(rows, task_id)
        fork_id = await fork(db, task_id, "Each", given={"TOPIC": "moon", "LIST": ["z"]})
        await completed(rows, fork_id)
    assert whats(tool)[4:] == ["z", "moon"]


async def test_a_failed_run_goes_on_from_the_step_that_failed(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    broken = ProcessorError("No.", code="tool_failed", retryable=False)
    tool = Counting("look-up", answers=["a", "x", "y", broken, "mended"])
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(SIX, GIVEN))
        await rows.reaches(task_id, "waiting")
        with pytest.raises(ForkRefused, match="has not come to the step 'Last'"):
            await fork(db, task_id, "Last")
        asked = await fork(db, task_id, "Approve")
        await rows.reaches(asked, "waiting")
        await rows.answer(task_id, {"approved": True})
        await rows.reaches(task_id, "failed")
        fork_id = await fork(db, task_id, "Last")
        task = await rows.reaches(fork_id, "completed")
    assert task["response_payload"]["output"] == "mended"


async def test_a_fork_keeps_the_versions_of_the_run_it_comes_from(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    calls = """
    variables:
      A: {type: unknown}
      B: {type: unknown}
    workers:
      inner: {description: Another}
    steps:
      One: {block: run-worker, worker: inner, output: A}
      Two: {block: run-worker, worker: inner, output: B}
    output: B
    """
    definitions = Definitions(db, "pipeline")
    await definitions.push("outer", content(textwrap.dedent(calls), "outer"))
    await definitions.push("inner", says("old", "inner"))
    async with start_worker(Pipeline(PipelineSettings())):
        task_id = await rows.insert("pipeline", {"agent": "outer"})
        await rows.reaches(task_id, "completed")
        await definitions.push("inner", says("new", "inner"))
        await definitions.push("outer", says("new", "outer"))
        await definitions.archive("outer")
        task = await rows.reaches(await fork(db, task_id, "Two"), "completed")
    assert task["response_payload"]["output"] == "old"
    assert task["request_payload"] == {"agent": "outer", "version": 1}


async def test_what_cannot_be_forked_is_told(start_worker: StartWorker, rows: Rows, db: Database) -> None:
    with pytest.raises(TaskNotFound, match="there is no task"):
        await fork(db, uuid4(), "Open")
    with pytest.raises(ForkRefused, match="of the kind echo, which has no steps"):
        await fork(db, await rows.insert("echo"), "Open")
    waiting = await rows.insert("pipeline", payload(SIX, GIVEN))
    with pytest.raises(ForkRefused, match="has not begun"):
        await fork(db, waiting, "Open")
    async with start_worker(pipeline(Counting("look-up"))):
        await completed(rows, waiting)
    with pytest.raises(ForkRefused, match="no step 'Anser' in its outermost list; did you mean 'Answer'"):
        await fork(db, waiting, "Anser")
    with pytest.raises(ForkRefused, match="no step 'Look'"):
        await fork(db, waiting, "Look")


# Which checkpoints


NAMES = """
variables:
  A: {type: unknown}
tools:
  t: {description: T}
steps:
  A: {block: tool-call, tool: t, onError: {goto: A.b}}
  A/b: {block: tool-call, tool: t}
  A@0: {block: tool-call, tool: t, if: A}
  A.b: {block: tool-call, tool: t}
  Z: {block: set-variable, variable: A, value: 1}
  'Z: Y': {block: tool-call, tool: t}
"""


def done(*keys: str, goto: str | None = None) -> dict[str, Checkpoint]:
    value = {} if goto is None else {"goto": goto}
    return {key: Checkpoint(key, Call.STEP, value) for key in keys}


def kept(from_step: str, checkpoints: dict[str, Checkpoint], *, shown: tuple[str, ...] = ()) -> list[str]:
    return kept_keys(definition(NAMES), from_step, Past(checkpoints, set(shown), is_completed=False))


def test_checkpoints_belong_to_the_step_with_the_longest_name_that_fits() -> None:
    of_first = done(
        "block:steps.A", "model-0:steps.A", "item:steps.A@3", "block:steps.A:0.1/steps.X", "start-0:steps.A"
    )
    others = done(
        "run:start", "run:ran_s", "block:steps.A%2Fb", "block:steps.A%2Fb/steps.X", "block:steps.A@0"
    )
    rest = done("block:steps.A%2Eb", "block:steps.Z: Y")
    everything = {**of_first, **others, **rest}
    assert kept("A", everything) == []
    assert kept("A/b", everything) == list(of_first)
    assert kept("A@0", everything) == [*of_first, "block:steps.A%2Fb", "block:steps.A%2Fb/steps.X"]
    assert kept("Z: Y", everything) == [*of_first, *list(others)[2:], "block:steps.A%2Eb"]


def test_a_question_that_nobody_has_answered_is_not_taken_over() -> None:
    asked = {"ask:steps.A": Checkpoint("ask:steps.A", Call.HUMAN, None, is_done=False)}
    assert kept("A/b", {**done("block:steps.A"), **asked}) == ["block:steps.A"]


def test_a_step_is_reached_when_all_before_it_has_finished_or_something_after_has_begun() -> None:
    assert kept("A/b", done("block:steps.A")) == ["block:steps.A"]
    with pytest.raises(ForkRefused, match="has not come to the step 'A/b'"):
        kept("A/b", done("start-0:steps.A"))
    with pytest.raises(ForkRefused, match="has not come to the step 'A@0'"):
        kept("A@0", done("block:steps.A"))
    assert kept("A@0", done("block:steps.A"), shown=("steps.A@0",)) == ["block:steps.A"]
    assert kept("Z", done("block:steps.A%2Eb")) == ["block:steps.A%2Eb"]
    assert kept("Z: Y", done("block:steps.A%2Eb")) == ["block:steps.A%2Eb"], "Z only computes"


def test_a_step_that_the_run_jumped_over_is_not_one_to_begin_at() -> None:
    jumped = {**done("block:steps.A", goto="A.b"), **done("block:steps.A%2Eb")}
    assert kept("A.b", jumped) == ["block:steps.A"]
    for name in ("A/b", "A@0"):
        with pytest.raises(ForkRefused, match=f"jumped from 'A' over '{name}' to 'A.b'"):
            kept(name, jumped)
