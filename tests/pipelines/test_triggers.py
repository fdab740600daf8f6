"""One trigger of an interactive agent as a task: its handler runs as a worker does, and remembers nothing afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_worker.client.forking import fork
from agent_worker.db.connection import Database
from agent_worker.domain.errors import InvalidPayload
from agent_worker.domain.events import Event, visible_events
from agent_worker.llm.models import Models
from agent_worker.pipelines.running.triggers import to_run
from agent_worker.testing.context import FakeContext
from agent_worker.testing.openai_server import ScriptedOpenAI, Text, ToolCall
from tests.pipelines.running import Counting, check_leg, data, run
from tests.pipelines.sources import WORKER, definition
from tests.pipelines.test_durably import pipeline
from tests.worker.conftest import Rows, StartWorker

PROTOCOL = """
input:
  COMPANY: {type: string}
variables:
  MOOD: {type: string, default: calm}
tools:
  look-up: {description: Look it up, parameters: {what: {type: string}}}
agent:
  model: openai/first
  system: system
  input: [COMPANY]
  tools: [look-up]
  agentic: true
triggers:
  user-message:
    input:
      USER_MESSAGE: {type: string}
  sum-up: {}
handlers:
  user-message:
    Add the message:
      block: add-message
      role: user
      prompt: says
      input: [USER_MESSAGE]
      display: hidden
    Respond:
      block: next-message
  sum-up:
    Open:
      block: start-thread
      thread: notes
    Ask:
      block: add-message
      thread: notes
      role: user
      prompt: system
    Write:
      block: next-message
      thread: notes
      output: MOOD
"""
PROMPTS = {"system": "You help at {{COMPANY}}.", "says": "{{USER_MESSAGE}}"}
AGENT = definition(PROTOCOL, prompts=PROMPTS, form="interactive")
BODY = {
    "settings": {"slug": "helper", "name": "Helper", "format": "interactive"},
    "protocol": PROTOCOL,
    "prompts": [{"name": name, "content": content} for name, content in PROMPTS.items()],
}


async def test_a_trigger_is_answered_by_the_agents_model_with_its_tools(
    server: ScriptedOpenAI, start_worker: StartWorker, rows: Rows, tmp_path: Path
) -> None:
    server.script(ToolCall("look-up", {"what": "tide"}), Text("High at noon."))
    given = {"COMPANY": "Harbour", "USER_MESSAGE": "When is high tide?"}
    payload = {"definition": BODY, "trigger": "user-message", "input": given}
    models = Models(openai_base_url=server.base_url, data_dir=tmp_path)
    async with start_worker(pipeline(Counting("look-up", ["rising"])), models=models):
        task_id = await rows.insert("pipeline", payload)
        task = await rows.reaches(task_id, "completed")
    assert task["response_payload"]["output"] == "High at noon."
    told: Any = server.requests[-1].body["messages"]
    assert [(turn["role"], turn["content"]) for turn in told[:2]] == [
        ("system", "You help at Harbour."),
        ("user", "When is high tide?"),
    ]
    assert told[-1]["content"] == "rising"
    shown = [Event(kind, fields) for kind, fields in visible_events(await rows.events(task_id))]
    check_leg(shown)
    (block,) = (event.data for event in shown if event.type == "block-start")
    assert (block["blockId"], block["thread"]) == ("handlers.user-message.Respond", "main")


async def test_a_run_of_a_trigger_can_be_gone_on_from_at_a_step_of_its_handler(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    echoing = {**BODY, "protocol": PROTOCOL.replace("openai/first", "echo/echo")}
    given = {"COMPANY": "Harbour", "USER_MESSAGE": "When?"}
    async with start_worker(pipeline()):
        first = await rows.insert(
            "pipeline", {"definition": echoing, "trigger": "user-message", "input": given}
        )
        await rows.reaches(first, "completed")
        second = await fork(db, first, "Respond")
        task = await rows.reaches(second, "completed")
    assert task["response_payload"]["output"] == "When?"


async def test_a_thread_of_a_handler_has_the_agents_model_unless_it_names_one() -> None:
    asked: list[str | None] = []

    class Watching(FakeContext):
        def model(self, name: str | None = None) -> Any:
            asked.append(name)
            return super().model(name)

    result, ctx = await run(to_run(AGENT, "sum-up"), {"COMPANY": "Harbour"}, ctx=Watching())
    assert asked == ["openai/first"]
    assert result.output is None, "nothing was said in the main thread"
    assert data(ctx, "block-start")[-1]["thread"] == "notes"
    check_leg(ctx.events)


@pytest.mark.parametrize(
    ("source", "trigger", "message"),
    [
        (
            AGENT,
            None,
            "must name a trigger of the agent, which is interactive; there is sum-up, user-message",
        ),
        (AGENT, "user-mesage", "names no trigger of the agent: 'user-mesage'; did you mean 'user-message'"),
        (definition(WORKER), "user-message", "is of interactive agents; this is a worker"),
    ],
)
def test_a_trigger_that_is_not_there_is_refused(source: Any, trigger: Any, message: str) -> None:
    with pytest.raises(InvalidPayload, match=r"\$\.trigger") as caught:
        to_run(source, trigger)
    assert message in str(caught.value)


async def test_what_a_trigger_needs_is_asked_for() -> None:
    with pytest.raises(InvalidPayload, match=r"\$\.input\.USER_MESSAGE is required"):
        await run(to_run(AGENT, "user-message"), {"COMPANY": "Harbour"})
