"""Skills run in a sandbox that somebody brings; without one they are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent_worker.domain.errors import ProcessorError
from agent_worker.domain.replay import Parked
from agent_worker.llm.models import Models
from agent_worker.pipelines.running.sandbox import Ran
from agent_worker.testing.context import FakeContext
from agent_worker.testing.openai_server import ScriptedOpenAI, Text, ToolCall
from agent_worker.tools.registry import ToolError
from tests.pipelines.running import check_leg, data, failing_task, run
from tests.pipelines.sources import definition, warnings

PROTOCOL = """
input:
  TOPIC: {type: string}
variables:
  A: {type: unknown}
skills:
  pdf: {description: Makes documents, display: name}
  secret: {display: hidden}
tools:
  ask-user: {description: Ask}
steps:
  Begin:
    block: start-thread
    thread: agent
    model: openai/first
    system: system
    skills: [pdf, secret]
    tools: [ask-user]
    sandboxTimeout: 90s
    maxSteps: 9
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
TOOLS = ["skill_read", "skill_list", "skill_run", "code_run", "file_write", "file_read"]
FILE = {"id": "f1", "mediaType": "application/pdf", "url": "https://example.org/f1", "filename": "a.pdf"}


@dataclass
class Bench:
    """A sandbox that answers from its files, and its engine."""

    said: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    async def open(self, *, skills: Sequence[str], timeout_s: float) -> Bench:
        self.said.append(f"open {','.join(skills)} {timeout_s:g}")
        self.files.clear()
        return self

    async def read_skill(self, skill: str) -> str:
        return f"How to use {skill}."

    async def list_skill(self, skill: str) -> Sequence[str]:
        return [f"{skill}/make.py"]

    async def run_skill(self, skill: str, script: str, arguments: Sequence[str]) -> Ran:
        self.said.append(f"run {skill} {script} {' '.join(arguments)}")
        return Ran(0, stdout="made", files=[FILE])

    async def run_code(self, language: str, code: str) -> Ran:
        raise ToolError(f"There is no {language}.")

    async def write_file(self, path: str, content: str) -> None:
        self.files[path] = content

    async def read_file(self, path: str) -> str:
        return self.files[path]

    async def close(self) -> None:
        self.said.append("close")


async def answer(ctx: FakeContext, bench: Bench) -> Any:
    result, _ = await run(definition(PROTOCOL), {"TOPIC": "sea"}, ctx=ctx, sandboxes=bench)
    return result.output


def told(server: ScriptedOpenAI) -> list[str]:
    messages: Any = server.requests[-1].body["messages"]
    return [turn["content"] for turn in messages if turn["role"] == "tool"]


async def test_a_model_uses_skills_and_files_in_one_sandbox(server: ScriptedOpenAI, models: Models) -> None:
    server.script(
        ToolCall("agent_worker_skill_read", {"skill": "pdf"}),
        ToolCall("octavus_skill_list", {"skill": "pdf"}),
        ToolCall("agent_worker_file_write", {"path": "a.txt", "content": "high tide"}),
        ToolCall("agent_worker_file_read", {"path": "a.txt"}),
        ToolCall("agent_worker_skill_run", {"skill": "pdf", "script": "make.py", "arguments": ["a.txt"]}),
        ToolCall("agent_worker_code_run", {"language": "cobol", "code": "STOP RUN."}),
        ToolCall("agent_worker_skill_read", {"skill": "unknown"}),
        Text("done"),
    )
    bench, ctx = Bench(), FakeContext(failing_task(), models=models.get)
    assert await answer(ctx, bench) == "done"
    assert bench.said == ["open pdf,secret 90", "run pdf make.py a.txt", "close"]
    offered: Any = server.requests[0].body["tools"]
    assert [each["function"]["name"] for each in offered][1:] == [f"agent_worker_{name}" for name in TOOLS]
    assert "pdf: Makes documents" in offered[1]["function"]["description"]
    results = told(server)
    assert results[:4] == ["How to use pdf.", '["pdf/make.py"]', "The file is written.", "high tide"]
    assert '"stdout": "made"' in results[4]
    assert "There is no cobol." in results[5]
    assert "do not fit" in results[6]
    (shown,) = data(ctx, "file-available")
    assert {**FILE, "toolCallId": "steps.Answer:4.0"}.items() <= shown.items()
    check_leg(ctx.events)


async def test_calls_of_a_hidden_skill_are_not_shown(server: ScriptedOpenAI, models: Models) -> None:
    server.script(ToolCall("agent_worker_skill_read", {"skill": "secret"}), Text("done"))
    ctx = FakeContext(failing_task(), models=models.get)
    await answer(ctx, Bench())
    assert "secret" not in str(ctx.events)


async def test_no_sandbox_is_made_that_nobody_needs(server: ScriptedOpenAI, models: Models) -> None:
    server.script(Text("at once"))
    bench = Bench()
    await answer(FakeContext(failing_task(), models=models.get), bench)
    assert bench.said == []


async def test_a_sandbox_is_closed_when_the_step_fails_or_waits_and_made_anew_afterwards(
    server: ScriptedOpenAI, models: Models
) -> None:
    write = ToolCall("agent_worker_file_write", {"path": "a.txt", "content": "x"})
    server.script(write, ToolCall("ask-user"), write, Text("done"))
    bench, ctx = Bench(), FakeContext(failing_task(), models=models.get)
    with pytest.raises(Parked) as parked:
        await answer(ctx, bench)
    assert [each.partition(" ")[0] for each in bench.said] == ["open", "close"]
    key = parked.value.question.key
    ctx = ctx.again(client={key: [{"toolCallId": "steps.Answer:1.0", "result": "yes"}]})
    assert await answer(ctx, bench) == "done"
    assert [each.partition(" ")[0] for each in bench.said] == ["open", "close"] * 2
    assert len(server.requests) == 4


async def test_skills_without_a_sandbox_and_on_devices_are_refused_and_warned_of() -> None:
    with pytest.raises(ProcessorError) as caught:
        await run(definition(PROTOCOL), {"TOPIC": "sea"})
    assert (caught.value.code, caught.value.retryable) == ("sandbox_unavailable", False)
    away = PROTOCOL.replace("display: hidden", "execution: device")
    with pytest.raises(ProcessorError) as caught:
        await run(definition(away), {"TOPIC": "sea"}, sandboxes=Bench())
    assert caught.value.code == "unsupported"
    found = warnings(away)
    assert any(each.startswith("steps.Begin.skills: skills need a sandbox") for each in found)
    assert any(each.startswith("skills.secret.execution: devices") for each in found)
