"""Models with tools, through the real client to the scripted server: rounds, backups, guards, cuts."""

from __future__ import annotations

from typing import Any

import pytest

from agent_worker.domain.errors import ProcessorError, UpstreamError
from agent_worker.llm.models import Models
from agent_worker.pipelines.reading.source import ReferenceText
from agent_worker.testing.context import FakeContext
from agent_worker.testing.openai_server import Cut, JsonText, Refusal, ScriptedOpenAI, Status, Text, ToolCall
from tests.pipelines.running import Counting, check_leg, data, failing_task, run, said, texts
from tests.pipelines.sources import definition

HEAD = """
input:
  TOPIC: {type: string}
variables:
  A: {type: unknown}
types:
  Town:
    name: {type: string}
tools:
  look-up:
    description: Look it up
    DISPLAY
    parameters:
      what: {type: string}
steps:
  Begin:
    block: start-thread
    thread: agent
    model: openai/first
    system: system
    THREAD
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
    BLOCK
output: A
"""


async def answer(
    models: Models,
    *,
    thread: str = "maxSteps: 3",
    block: str = "display: stream",
    display: str = "display: description",
    tools: tuple[Counting, ...] = (),
    **options: Any,
) -> tuple[Any, FakeContext]:
    protocol = HEAD.replace("THREAD", thread).replace("BLOCK", block).replace("DISPLAY", display)
    ctx = FakeContext(failing_task(), models=models.get)
    result, _ = await run(definition(protocol, **options), {"TOPIC": "sea"}, ctx=ctx, tools=tools)
    return result.output, ctx


async def test_what_the_model_reads_of_a_tool_is_cut_and_what_clients_see_is_not(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(ToolCall("look-up", {"what": "x"}), Text("done"))
    tool = Counting("look-up", ["b" * 1000])
    output, ctx = await answer(
        models, thread="tools: [look-up]\n    maxSteps: 3\n    maxToolOutputTokens: 10", tools=(tool,)
    )
    assert output == "done"
    messages: Any = server.requests[-1].body["messages"]
    assert len(messages[-1]["content"]) < 100
    assert data(ctx, "tool-output-available")[0]["output"] == "b" * 1000
    sent: Any = server.requests[0].body["tools"]
    assert sent[0]["function"]["parameters"]["required"] == ["what"]
    check_leg(ctx.events)


async def test_a_titled_tool_shows_neither_arguments_nor_result(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(ToolCall("look-up", {"what": "secret"}), Text("done"))
    _, ctx = await answer(
        models,
        thread="tools: [look-up]\n    maxSteps: 3",
        display="display: title\n    title: Looking",
        tools=(Counting("look-up", ["hidden truth"]),),
    )
    assert data(ctx, "tool-input-start")[0]["title"] == "Looking"
    assert "secret" not in str(ctx.events)
    assert "hidden truth" not in str(ctx.events)


async def test_a_model_reads_why_a_call_was_wrong(server: ScriptedOpenAI, models: Models) -> None:
    server.script(ToolCall("look-up", {"why": 1}), ToolCall("gone", {}), Text("sorry"))
    tool = Counting("look-up")
    output, ctx = await answer(models, thread="tools: [look-up]\n    maxSteps: 5", tools=(tool,))
    assert output == "sorry"
    assert tool.calls == []
    assert [each["error"][:13] for each in data(ctx, "tool-output-error")] == [
        "The arguments",
        "There is no t",
    ]
    check_leg(ctx.events)


async def test_a_model_that_repeats_itself_is_stopped(server: ScriptedOpenAI, models: Models) -> None:
    server.script(*[ToolCall("look-up", {"what": "x"})] * 5)
    with pytest.raises(ProcessorError) as caught:
        await answer(
            models,
            thread="tools: [look-up]\n    maxSteps: 9\n    loopGuard: true",
            tools=(Counting("look-up"),),
        )
    assert caught.value.code == "model_loop"
    assert len(server.requests) == 3


async def test_a_model_reads_a_reference_of_the_definition(server: ScriptedOpenAI, models: Models) -> None:
    server.script(ToolCall("agent_worker_reference_read", {"name": "style"}), Text("in style"))
    output, _ = await answer(
        models,
        thread="references: [style]\n    maxSteps: 2",
        references={"style": ReferenceText("How to write", "Short sentences.")},
    )
    assert output == "in style"
    messages: Any = server.requests[-1].body["messages"]
    assert messages[-1]["content"] == "Short sentences."


@pytest.mark.parametrize("name", ["agent_worker_todo_write", "octavus_todo_write"])
async def test_a_model_keeps_a_list_that_the_client_sees(
    server: ScriptedOpenAI, models: Models, name: str
) -> None:
    todos = [{"id": "1", "content": "Look", "status": "in_progress"}]
    wrong = [{"id": "1", "content": "Look", "status": "forgotten"}]
    server.script(ToolCall(name, {"todos": todos}), ToolCall(name, {"todos": wrong}), Text("done"))
    output, ctx = await answer(models, thread="todoList: true\n    maxSteps: 3")
    assert output == "done"
    assert [event["todos"] for event in data(ctx, "todo-update")] == [todos]
    assert "tool-input-start" not in said(ctx), "the list is what is shown of the tool"
    told: Any = server.requests[-1].body["messages"]
    assert ["do not fit" in turn["content"] for turn in told if turn["role"] == "tool"] == [False, True]
    check_leg(ctx.events)


async def test_the_backup_answers_when_the_provider_fails_in_passing(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(Status(500), Text("from the backup"))
    output, ctx = await answer(models, thread="backupModel: openai/second")
    assert output == "from the backup"
    assert [request.body["model"] for request in server.requests] == ["first", "second"]
    check_leg(ctx.events)


@pytest.mark.parametrize(
    ("replies", "requests"), [((Status(500), Status(400)), 2), ((Status(400),), 1), ((Cut(after=1),), 1)]
)
async def test_the_first_error_is_reported_when_no_backup_helps(
    server: ScriptedOpenAI, models: Models, replies: tuple[Any, ...], requests: int
) -> None:
    server.script(*replies)
    with pytest.raises(UpstreamError) as caught:
        await answer(models, thread="backupModel: openai/second")
    assert len(server.requests) == requests
    assert caught.value.status in {500, 400, None}
    assert caught.value.status == getattr(replies[0], "status", None)


async def test_a_model_that_nobody_has_is_no_help_and_hides_no_error(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(Status(503))
    with pytest.raises(UpstreamError) as caught:
        await answer(models, thread="backupModel: nobody/second")
    assert (caught.value.status, len(server.requests)) == (503, 1)


@pytest.mark.parametrize(
    "off", ["temperature: off\n    thinking: off", "temperature: KNOB\n    thinking: KNOB"]
)
async def test_settings_that_are_off_are_not_those_that_nobody_made(
    server: ScriptedOpenAI, models: Models, off: str
) -> None:
    with_knob = HEAD.replace("variables:\n", '  KNOB: {type: string, default: "off"}\nvariables:\n')
    protocol = with_knob.replace("THREAD", off).replace("BLOCK", "display: stream")
    protocol = protocol.replace("DISPLAY", "display: name")
    await run(definition(protocol), {"TOPIC": "sea"}, ctx=FakeContext(failing_task(), models=models.get))
    body = server.requests[0].body
    assert "temperature" not in body
    assert body["reasoning_effort"] == "none"
    assert "max_tokens" not in body


async def test_an_answer_that_does_not_fit_is_asked_for_again(server: ScriptedOpenAI, models: Models) -> None:
    server.script(JsonText({"nome": "Ulm"}), JsonText({"name": "Ulm"}))
    retry = "retry: {attempts: 2, delay: 1ms}"
    output, ctx = await answer(
        models,
        thread="tools: [look-up]\n    maxSteps: 2",
        block=f"responseType: Town\n    {retry}",
        tools=(Counting("look-up"),),
    )
    assert output == {"name": "Ulm"}
    assert "step-retry" in said(ctx)
    check_leg(ctx.events)


async def test_what_the_client_has_answered_is_not_asked_of_it_again_when_the_step_is_tried_again(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(ToolCall("look-up", {"what": "Ulm"}), JsonText({"nome": "Ulm"}), JsonText({"name": "Ulm"}))
    retry = "retry: {attempts: 2, delay: 1ms}"
    protocol = HEAD.replace("DISPLAY", "display: name").replace("THREAD", "tools: [look-up]\n    maxSteps: 2")
    protocol = protocol.replace("BLOCK", f"responseType: Town\n    {retry}")
    call_id = "steps.Answer:0.0"
    client = {"client-0-1:steps.Answer": [{"toolCallId": call_id, "result": "a town"}]}
    ctx = FakeContext(failing_task(), models=models.get, client=client)
    result, _ = await run(definition(protocol), {"TOPIC": "sea"}, ctx=ctx)
    assert result.output == {"name": "Ulm"}
    assert said(ctx).count("step-retry") == 1
    assert [event["toolCallId"] for event in data(ctx, "tool-output-available")] == [call_id], (
        "a late repeat fits this alone"
    )
    check_leg(ctx.events)


async def test_the_last_words_count_when_the_rounds_are_used_up(
    server: ScriptedOpenAI, models: Models
) -> None:
    server.script(*[ToolCall("look-up", {"what": str(n)}) for n in range(4)])
    tool = Counting("look-up")
    output, _ = await answer(models, thread="tools: [look-up]\n    maxSteps: 2", tools=(tool,))
    assert (output, len(tool.calls), len(server.requests)) == ("", 2, 2)


async def test_settings_of_the_thread_reach_the_provider(server: ScriptedOpenAI, models: Models) -> None:
    server.script(Refusal("I would rather not."))
    output, ctx = await answer(models, thread="temperature: 0.5\n    thinking: high\n    maxOutputTokens: 50")
    assert output == texts(ctx) == "I would rather not."
    body = server.requests[0].body
    assert (body["temperature"], body["reasoning_effort"], body["max_tokens"]) == (0.5, "high", 50)


async def test_a_cost_limit_refuses_models_without_a_price_before_they_are_asked(
    server: ScriptedOpenAI, models: Models
) -> None:
    protocol = "limits: {maxCost: 1}\n" + HEAD.replace("THREAD", "maxSteps: 1").replace(
        "BLOCK", "display: stream"
    ).replace("DISPLAY", "display: name")
    with pytest.raises(ProcessorError, match="price of openai/first is not known"):
        await run(definition(protocol), {"TOPIC": "sea"}, ctx=FakeContext(failing_task(), models=models.get))
    assert server.requests == ()


async def test_models_by_way_of_langchain_use_tools_as_well(server: ScriptedOpenAI, models: Models) -> None:
    server.script(ToolCall("look-up", {"what": "tide"}), Text("High at noon."))
    tool = Counting("look-up", ["rising"])
    protocol = (
        HEAD.replace("openai/first", "langchain-openai/first")
        .replace("THREAD", "tools: [look-up]\n    maxSteps: 3")
        .replace("BLOCK", "display: stream")
        .replace("DISPLAY", "display: description")
    )
    ctx = FakeContext(failing_task(), models=models.get)
    result, _ = await run(definition(protocol), {"TOPIC": "sea"}, ctx=ctx, tools=[tool])
    assert result.output == "High at noon."
    assert tool.calls == [{"what": "tide"}]
    messages: Any = server.requests[-1].body["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    check_leg(ctx.events)
