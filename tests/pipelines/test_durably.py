"""Through a real worker and a real PostgreSQL: streams, questions, waits, and what a lost worker leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent_worker.domain.events import Event, visible_events
from agent_worker.llm.models import Models
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.testing.openai_server import ScriptedOpenAI, Text, ToolCall
from agent_worker.tools.registry import ToolRegistry
from tests.pipelines.running import Counting, check_leg
from tests.pipelines.sources import PROMPTS, WORKER, worker
from tests.worker.conftest import Rows, StartWorker

GIVEN = {"TOPIC": "sea", "KIND": "x", "LIST": ["a", "b", "c"]}
TOOL = """
tools:
  look-up:
    description: Look it up
    parameters:
      what: {type: string}
"""


def payload(protocol: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = {"slug": "a-worker", "name": "A worker", "format": "worker"}
    prompts = [{"name": name, "content": content} for name, content in PROMPTS.items()]
    body = {"settings": settings, "protocol": protocol, "prompts": prompts}
    return {"definition": body, "input": GIVEN if given is None else given}


def pipeline(*tools: Counting) -> Pipeline:
    made = Pipeline(PipelineSettings())
    made.tools = ToolRegistry(tools)
    return made


def as_events(shown: list[tuple[str, Any]]) -> list[Event]:
    return [Event(kind, data) for kind, data in shown]


async def test_a_worker_answers_from_the_row_to_the_output(start_worker: StartWorker, rows: Rows) -> None:
    async with start_worker(pipeline()):
        task_id = await rows.insert("pipeline", payload(WORKER, {"TOPIC": "two words"}))
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == "two words"
    assert task["response_payload"]["usage"]["llm_calls"] == 1
    shown = visible_events(await rows.events(task_id))
    check_leg(as_events(shown))
    assert shown[0][1]["executionId"] == str(task_id)


async def test_a_client_runs_a_tool_that_the_worker_has_not(start_worker: StartWorker, rows: Rows) -> None:
    steps = "Look:\n  block: tool-call\n  tool: look-up\n  input: {what: TOPIC}\n  output: A\n"
    protocol = worker(sections=TOOL, steps=steps, output="output: A\n")
    async with start_worker(pipeline()):
        task_id = await rows.insert("pipeline", payload(protocol))
        await rows.reaches(task_id, "waiting")
        asked = [data for kind, data in await rows.events(task_id) if kind == "client-tool-request"]
        (call,) = asked[0]["toolCalls"]
        assert (call["toolName"], call["args"]) == ("look-up", {"what": "sea"})
        assert (await rows.types(task_id))[-1] == "finish"
        result = {"toolCallId": call["toolCallId"], "result": {"depth": 7}}
        await rows.answer(task_id, {"toolResults": [result]})
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == {"depth": 7}
    legs = (await rows.types(task_id))[1:]
    second = legs[legs.index("attempt-start") + 1 :]
    assert second[0] == "start"
    check_leg(
        [
            event
            for event in as_events(visible_events(await rows.events(task_id)))
            if event.type != "start" or event.data.get("step")
        ]
    )


async def test_a_call_of_the_client_is_told_once_though_its_step_comes_back(
    start_worker: StartWorker, rows: Rows
) -> None:
    """Told again, a browser's client would show a second call, which never ends."""
    steps = "Look:\n  block: tool-call\n  tool: look-up\n  input: {what: TOPIC}\n"
    async with start_worker(pipeline()):
        task_id = await rows.insert("pipeline", payload(worker(sections=TOOL, steps=steps)))
        await rows.reaches(task_id, "waiting")
        await rows.answer(task_id, {"toolResults": [{"toolCallId": "steps.Look:1", "error": "No network."}]})
        await rows.reaches(task_id, "failed")
    told = [kind for kind in await rows.types(task_id) if kind.startswith("tool-")]
    assert told == ["tool-input-start", "tool-input-end", "tool-input-available", "tool-output-error"]


async def test_a_person_decides_and_the_blocks_before_are_not_run_again(
    start_worker: StartWorker, rows: Rows
) -> None:
    tool = Counting("look-up")
    steps = """
    Look:
      block: tool-call
      tool: look-up
      input: {what: TOPIC}
    Decide:
      block: human-approval
      prompt: ask
      input: [TOPIC]
      form: {note: {type: string, optional: true}}
      output: A
    """
    protocol = worker(sections=TOOL, steps=steps, output="output: A\n")
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(protocol))
        await rows.reaches(task_id, "waiting")
        question = await rows.question(task_id)
        assert (question["title"], question["description"]) == ("Decide", "sea")
        assert set(question["form"]["properties"]) == {"approved", "note"}
        assert (await rows.types(task_id))[-2:] == ["human-request", "finish"]
        await rows.answer(task_id, {"approved": True, "note": "fine"})
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == {"approved": True, "note": "fine"}
    assert len(tool.calls) == 1


async def test_a_wait_gives_the_task_back_and_uses_up_no_attempt(
    start_worker: StartWorker, rows: Rows
) -> None:
    tool = Counting("look-up")
    steps = """
    Look:
      block: tool-call
      tool: look-up
      input: {what: TOPIC}
    Rest:
      block: wait
      for: 1200ms
    Done:
      block: set-variable
      variable: A
      value: done
    """
    protocol = worker(sections=TOOL, steps=steps, output="output: A\n")
    async with start_worker(pipeline(tool)):
        task_id = await rows.insert("pipeline", payload(protocol), max_attempts=1)
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == "done"
    assert len(tool.calls) == 1
    types = await rows.types(task_id)
    assert types.count("attempt-failed") == 1
    assert (types.count("usage"), types[-2:]) == (1, ["finish", "usage"]), "told once, and by the end alone"


async def test_another_worker_goes_on_between_the_items_of_a_loop(
    start_worker: StartWorker, rows: Rows
) -> None:
    reached = asyncio.Event()

    class Stuck(Counting):
        async def call(self, arguments: Any, *, idempotency_key: str) -> Any:
            self.keys.append(idempotency_key)
            if arguments["what"] == "c":
                reached.set()
                await asyncio.Event().wait()
            return arguments["what"].upper()

    steps = """
    Each:
      block: for-each
      in: LIST
      as: ITEM
      collect: A
      output: B
      steps:
        Look:
          block: tool-call
          tool: look-up
          input: {what: ITEM}
          output: A
    """
    protocol = worker(sections=TOOL, steps=steps, output="output: B\n")
    first, second = Stuck("look-up"), Counting("look-up", ["C"])
    async with start_worker(pipeline(first), shutdown_grace_s=0.1):
        task_id = await rows.insert("pipeline", payload(protocol))
        await asyncio.wait_for(reached.wait(), 30)
    async with start_worker(pipeline(second)):
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == ["A", "B", "C"]
    assert second.keys == first.keys[-1:], "only the call that was cut short is repeated, under the same key"
    shown = as_events(visible_events(await rows.events(task_id)))
    check_leg([event for event in shown if event.type != "start" or event.data.get("step")])
    assert [event.data["output"] for event in shown if event.type == "tool-output-available"] == [
        "A",
        "B",
        "C",
    ]


@pytest.fixture
def scripted() -> Any:
    with ScriptedOpenAI() as server:
        yield server


async def test_a_model_uses_tools_in_rounds_and_none_is_repeated_after_a_question(
    start_worker: StartWorker, rows: Rows, scripted: ScriptedOpenAI, tmp_path: Path
) -> None:
    scripted.script(
        ToolCall("look-up", {"what": "tide"}),
        ToolCall("ask-user", {"what": "when"}),
        Text("High at noon."),
    )
    sections = TOOL + "  ask-user:\n    description: Ask\n    parameters:\n      what: {type: string}\n"
    steps = """
    Begin:
      block: start-thread
      thread: agent
      model: openai/scripted
      system: system
      tools: [look-up, ask-user]
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
    """
    tool = Counting("look-up", ["rising"])
    models = Models(openai_base_url=scripted.base_url, data_dir=tmp_path)
    protocol = worker(sections=sections, steps=steps, output="output: A\n")
    async with start_worker(pipeline(tool), models=models):
        task_id = await rows.insert("pipeline", payload(protocol))
        await rows.reaches(task_id, "waiting")
        assert (await rows.question(task_id))["expires_at"] is None, "however much later it is answered"
        request = next(data for kind, data in await rows.events(task_id) if kind == "client-tool-request")
        (call,) = request["toolCalls"]
        await rows.answer(task_id, {"toolResults": [{"toolCallId": call["toolCallId"], "result": "today"}]})
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == "High at noon."
    assert task["response_payload"]["usage"]["llm_calls"] == 3
    assert len(scripted.requests) == 3, "no round is asked twice"
    assert tool.calls == [{"what": "tide"}]
    messages: Any = scripted.requests[-1].body["messages"]
    assert [message["role"] for message in messages] == [
        *("system", "user", "assistant", "tool", "assistant", "tool"),
    ]
    assert [message["content"] for message in messages if message["role"] == "tool"] == ["rising", "today"]
    shown = as_events(visible_events(await rows.events(task_id)))
    check_leg([event for event in shown if event.type != "start" or event.data.get("step")])
