"""`client.workers`: what the protocol's own guide shows, in Python, against a real worker and a real database."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent_worker.client import (
    AsyncClient,
    Client,
    QuestionClosed,
    ResultsRefused,
    StreamEvent,
    TaskNotFound,
    TaskStatus,
    WorkerError,
    to_sse_stream,
)
from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.llm.models import Models
from agent_worker.llm.retry import RetryPolicy
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.testing.openai_server import ScriptedOpenAI, Status, Text, ToolCall
from tests.pipelines.running import check_legs
from tests.waiting import eventually
from tests.worker.conftest import Rows, StartWorker, project, rows, start_worker, way

__all__ = ["project", "rows", "start_worker", "way"]

PROMPTS = {"system": "You research.", "ask": "{{TOPIC}} {{DEPTH}}", "go": "Publish {{TOPIC}}?"}
HEAD = """
input:
  TOPIC: {type: string, description: What to look into}
  DEPTH: {type: string, default: quick}
variables:
  NOTES: {type: unknown}
  MORE: {type: unknown}
  ANSWER: {type: string}
tools:
  web-search: {description: Search the web, parameters: {query: {type: string}}}
  get-user-data: {description: Find a user, parameters: {userId: {type: string}}}
"""
TALK = """
steps:
  Open: {block: start-thread, thread: research, model: MODEL, system: system, tools: [TOOLS], maxSteps: 5}
  Ask: {block: add-message, thread: research, role: user, prompt: ask, input: [TOPIC, DEPTH]}
  Answer: {block: next-message, thread: research, output: ANSWER}
output: ANSWER
"""
SEARCH = """
steps:
  Search: {block: tool-call, tool: web-search, input: {query: TOPIC}, output: NOTES}
output: NOTES
"""
BOTH = """
steps:
  Both:
    block: parallel
    branches:
      Web:
        Search: {block: tool-call, tool: web-search, input: {query: TOPIC}, output: NOTES}
      User:
        User: {block: tool-call, tool: get-user-data, input: {userId: DEPTH}, output: MORE}
output: NOTES
"""
APPROVE = """
steps:
  Publish: {block: human-approval, title: Publish?, prompt: go, input: [TOPIC], output: NOTES}
output: NOTES
"""
SLEEP = """
steps:
  Rest: {block: wait, for: 10m}
"""
BROKEN = """
steps:
  Rest: {block: wait, for: TOPIC}
"""
AGENTS = {
    "summarise": TALK.replace("MODEL", "echo/echo").replace("TOOLS", ""),
    "ask-model": TALK.replace("MODEL", "openai/scripted").replace("TOOLS", ""),
    "research": TALK.replace("MODEL", "openai/scripted").replace("TOOLS", "web-search, get-user-data"),
    "search": SEARCH,
    "both": BOTH,
    "approve": APPROVE,
    "sleep": SLEEP,
    "broken": BROKEN,
}


def content(slug: str) -> dict[str, Any]:
    return {
        "settings": {"slug": slug, "name": slug, "description": f"It does {slug}.", "format": "worker"},
        "protocol": HEAD + AGENTS[slug],
        "prompts": [{"name": name, "content": text} for name, text in PROMPTS.items()],
        "references": [],
    }


@pytest.fixture
async def agents(db: Database) -> dict[str, UUID]:
    """The ids of the stored definitions."""
    store = Definitions(db, "pipeline")
    return {slug: (await store.push(slug, content(slug))).id for slug in AGENTS}


@pytest.fixture
def model() -> Iterator[ScriptedOpenAI]:
    with ScriptedOpenAI() as server:
        yield server


@pytest.fixture
async def client(
    database_url: str,
    agents: dict[str, UUID],
    start_worker: StartWorker,
    model: ScriptedOpenAI,
    tmp_path: Path,
) -> AsyncIterator[AsyncClient]:
    """A client beside a worker that knows pipelines and has no tools."""
    models = Models(
        openai_base_url=model.base_url, data_dir=tmp_path, default="echo/echo", retry=RetryPolicy(tries=1)
    )
    async with (
        start_worker(Pipeline(PipelineSettings()), models=models),
        AsyncClient(database_url, poll_s=60.0) as opened,
    ):
        yield opened


async def collect(events: AsyncIterator[StreamEvent]) -> list[dict[str, Any]]:
    return [dict(event) async for event in events]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def execution(events: list[dict[str, Any]]) -> UUID:
    return UUID(events[0]["executionId"])


async def search(args: dict[str, Any]) -> Any:
    return {"found": args["query"].upper()}


async def test_the_basic_usage(client: AsyncClient) -> None:
    slugs, texts, outputs = [], [], []
    events = []
    async for event in client.workers.execute("summarise", {"TOPIC": "AI safety", "DEPTH": "detailed"}):
        if event["type"] == "worker-start":
            slugs.append(event["workerSlug"])
        if event["type"] == "text-delta":
            texts.append(str(event["delta"]))
        if event["type"] == "worker-result":
            outputs.append(event["output"])
        events.append(event)
    assert slugs == ["summarise"]
    assert "".join(texts) == outputs[0] == "AI safety detailed"
    check_legs([events], "server", task_id=str(events[0]["executionId"]))
    assert kinds([dict(each) for each in events])[-2:] == ["finish", "usage"]


async def test_an_agent_is_named_by_slug_or_by_id(client: AsyncClient, agents: dict[str, UUID]) -> None:
    for agent in (agents["summarise"], str(agents["summarise"])):
        made = await client.workers.generate(agent, {"TOPIC": "sea"})
        assert made.output == "sea quick"


async def test_tools_run_here_and_the_run_goes_on_by_itself(
    client: AsyncClient, model: ScriptedOpenAI
) -> None:
    model.script(
        ToolCall("web-search", {"query": "tide"}),
        ToolCall("get-user-data", {"userId": "u1"}),
        Text("High at noon."),
    )
    threads = []

    def get_user_data(args: dict[str, Any]) -> Any:  # a plain function may block
        threads.append(threading.current_thread())
        return {"name": args["userId"]}

    events = await collect(
        client.workers.execute(
            "research", {"TOPIC": "tide"}, tools={"web-search": search, "get-user-data": get_user_data}
        )
    )
    assert events[-3]["output"] == "High at noon."
    outputs = [event["output"] for event in events if event["type"] == "tool-output-available"]
    assert outputs == [{"found": "TIDE"}, {"name": "u1"}]
    assert threads[0] is not threading.main_thread()
    assert kinds(events).count("start") == 3, "each leg begins with one"
    assert kinds(events).count("finish") == 1
    assert not {"tool-request", "client-tool-request"} & set(kinds(events))
    assert {event["executionId"] for event in events if event["type"] == "start"} == {
        events[0]["executionId"]
    }


async def test_the_tools_of_one_request_run_side_by_side(client: AsyncClient, model: ScriptedOpenAI) -> None:
    model.script(
        ToolCall("web-search", {"query": "x"}, also=(ToolCall("get-user-data", {"userId": "u"}, "call_2"),)),
        Text("Done."),
    )
    both = asyncio.Barrier(2)

    async def meet(_: dict[str, Any]) -> str:
        async with asyncio.timeout(30):
            await both.wait()
        return "met"

    events = await collect(
        client.workers.execute("research", {"TOPIC": "x"}, tools={"web-search": meet, "get-user-data": meet})
    )
    assert [event["output"] for event in events if event["type"] == "tool-output-available"] == [
        "met",
        "met",
    ]


async def test_what_a_tool_raises_is_its_error_and_no_failure_of_the_run(
    client: AsyncClient, model: ScriptedOpenAI
) -> None:
    model.script(
        ToolCall("web-search", {"query": "x"}), ToolCall("get-user-data", {"userId": "u"}), Text("Sorry.")
    )

    def broken(_: dict[str, Any]) -> Any:
        raise LookupError("the index is away")

    async def odd(_: dict[str, Any]) -> Any:
        return object()

    events = await collect(
        client.workers.execute("research", {"TOPIC": "x"}, tools={"web-search": broken, "get-user-data": odd})
    )
    errors = [event["error"] for event in events if event["type"] == "tool-output-error"]
    assert errors[0] == "the index is away"
    assert "no JSON" in errors[1]
    assert events[-3]["output"] == "Sorry."


async def test_a_tool_without_a_function_ends_the_stream_and_continue_goes_on(client: AsyncClient) -> None:
    events = await collect(client.workers.execute("search", {"TOPIC": "sea"}))
    request = events[-2]
    assert kinds(events)[-2:] == ["client-tool-request", "finish"]
    assert events[-1]["finishReason"] == "client-tool-calls"
    assert request["executionId"] == events[0]["executionId"]
    (call,) = request["toolCalls"]
    assert (call["toolName"], call["args"]) == ("web-search", {"query": "sea"})
    assert "serverToolResults" not in request
    results = [{"toolCallId": call["toolCallId"], "result": ["deep"]}]
    second = await collect(client.workers.continue_("search", request["executionId"], results))
    assert second[0] == {
        "type": "start",
        "messageId": f"message-{request['executionId']}",
        "executionId": request["executionId"],
    }
    assert kinds(second)[-3:] == ["worker-result", "finish", "usage"]
    assert second[-3]["output"] == ["deep"]
    again = await collect(client.workers.continue_("search", request["executionId"], results))
    assert again == second, "the same results lead to the same stream"
    check_legs([events, second], "browser", task_id=str(request["executionId"]))


async def test_results_of_tools_that_ran_here_come_with_the_request_for_the_others(
    client: AsyncClient, model: ScriptedOpenAI
) -> None:
    model.script(
        ToolCall("web-search", {"query": "x"}, also=(ToolCall("get-user-data", {"userId": "u"}, "call_2"),)),
        Text("Done."),
    )
    events = await collect(client.workers.execute("research", {"TOPIC": "x"}, tools={"web-search": search}))
    request = events[-2]
    assert [call["toolName"] for call in request["toolCalls"]] == ["get-user-data"]
    (ran,) = request["serverToolResults"]
    assert ran["result"] == {"found": "X"}
    with pytest.raises(ResultsRefused, match="missing"):
        await collect(client.workers.continue_("research", execution(events), [ran]))
    results = [ran, {"toolCallId": request["toolCalls"][0]["toolCallId"], "result": "Ann"}]
    second = await collect(client.workers.continue_("research", execution(events), results))
    assert second[-3]["output"] == "Done."


async def test_a_person_is_asked_as_a_client_tool(client: AsyncClient) -> None:
    events = await collect(client.workers.execute("approve", {"TOPIC": "sea"}))
    (call,) = events[-2]["toolCalls"]
    assert call["toolName"] == "agent_worker_human_approval"
    assert (call["args"]["title"], call["args"]["description"]) == ("Publish?", "Publish sea?")
    results = [{"toolCallId": call["toolCallId"], "result": {"approved": True}}]
    second = await collect(client.workers.continue_("approve", execution(events), results))
    assert second[-3]["output"] == {"approved": True}
    shown = [event for event in second if event["type"] == "tool-output-available"]
    assert [event["output"] for event in shown] == [{"approved": True}]


async def test_a_function_may_stand_in_for_the_person(client: AsyncClient) -> None:
    made = await client.workers.generate(
        "approve", {"TOPIC": "sea"}, tools={"agent_worker_human_approval": lambda _: {"approved": False}}
    )
    assert made.output == {"approved": False}


async def test_only_runs_of_the_agent_are_continued_and_only_with_what_it_asked(
    client: AsyncClient, agents: dict[str, UUID]
) -> None:
    events = await collect(client.workers.execute("search", {"TOPIC": "sea"}))
    (call,) = events[-2]["toolCalls"]
    results = [{"toolCallId": call["toolCallId"], "result": 1}]
    with pytest.raises(TaskNotFound):
        await collect(client.workers.continue_("approve", execution(events), results))
    with pytest.raises(TaskNotFound):
        await collect(client.workers.continue_("search", uuid4(), results))
    wrong = [{"toolCallId": "other", "result": 1}]
    with pytest.raises(ResultsRefused) as refused:
        await collect(client.workers.continue_("search", execution(events), wrong))
    assert refused.value.open_ids == (call["toolCallId"],)
    await client.cancel(execution(events))
    with pytest.raises(QuestionClosed):
        await collect(client.workers.continue_(agents["search"], execution(events), results))


@pytest.mark.parametrize(
    ("agent", "error_type", "source"),
    [
        ("summarise", "validation_error", "platform"),
        ("nobody", "not_found_error", "platform"),
        ("ask-model", "provider_error", "provider"),
        ("search", "tool_error", "tool"),
        ("broken", "execution_error", "platform"),
    ],
)
async def test_the_table_of_errors(
    client: AsyncClient, model: ScriptedOpenAI, agent: str, error_type: str, source: str
) -> None:
    model.script(Status(400), Status(400))
    given = {} if agent == "summarise" else {"TOPIC": "x"}

    def broken(_: dict[str, Any]) -> Any:
        raise LookupError("the index is away")

    events = await collect(client.workers.execute(agent, given, tools={"web-search": broken}))
    error = events[-1]
    assert (error["type"], error["errorType"], error["source"]) == ("error", error_type, source)
    assert error["retryable"] is (agent == "search"), "tools may work again"
    assert error["message"]
    results = [event for event in events if event["type"] == "worker-result"]
    started = [event for event in events if event["type"] == "worker-start"]
    assert len(results) == len(started)
    assert all(result["error"] == error["message"] for result in results)
    assert kinds(events)[0] == "start"
    with pytest.raises(WorkerError) as failed:
        await client.workers.generate(agent, given, tools={"web-search": broken})
    raised = failed.value
    assert (raised.error_type, raised.source, raised.retryable) == (error_type, source, error["retryable"])
    assert (raised.code, str(raised)) == (error["code"], error["message"])
    assert UUID(raised.execution_id)


async def test_generate_tells_of_a_tool_that_nobody_runs(client: AsyncClient) -> None:
    with pytest.raises(WorkerError, match="client tools") as failed:
        await client.workers.generate("search", {"TOPIC": "x"})
    assert failed.value.error_type is None
    assert (await client.look(UUID(failed.value.execution_id))).status is TaskStatus.WAITING


async def is_cancelled(client: AsyncClient, task_id: UUID) -> None:
    async def cancelled() -> bool:
        return (await client.look(task_id)).status is TaskStatus.CANCELLED

    await eventually(cancelled)


class TestStopping:
    """A signal ends the stream and the run; so does an iterator that nobody reads any more."""

    async def test_a_signal_in_the_middle_ends_the_stream_with_finish(self, client: AsyncClient) -> None:
        signal = asyncio.Event()
        events: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            async for event in client.workers.execute("sleep", {"TOPIC": "x"}, signal=signal):
                events.append(dict(event))
                if event["type"] == "block-start":
                    signal.set()
        assert events[-1] == {
            "type": "finish",
            "finishReason": "stop",
            "executionId": events[0]["executionId"],
        }
        await is_cancelled(client, execution(events))

    async def test_a_signal_that_is_set_before_runs_nothing(self, client: AsyncClient, rows: Rows) -> None:
        signal = asyncio.Event()
        signal.set()
        events = await collect(client.workers.execute("sleep", {"TOPIC": "x"}, signal=signal))
        assert kinds(events) == ["finish"]
        assert await rows.db.fetch_value("SELECT count(*) FROM agent_task_requests") == 0

    async def test_a_signal_stops_tools_that_run_here(self, client: AsyncClient) -> None:
        signal, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def endless(_: dict[str, Any]) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        tools = {"web-search": endless}
        reading = asyncio.create_task(
            collect(client.workers.execute("search", {"TOPIC": "x"}, tools=tools, signal=signal))
        )
        async with asyncio.timeout(30):
            await begun.wait()
            signal.set()
            events = await reading
        assert ended.is_set()
        assert events[-1]["finishReason"] == "stop"
        await is_cancelled(client, execution(events))

    async def test_a_signal_that_comes_too_late_changes_nothing(self, client: AsyncClient) -> None:
        signal = asyncio.Event()
        events: list[dict[str, Any]] = []
        async for event in client.workers.execute("summarise", {"TOPIC": "x"}, signal=signal):
            events.append(dict(event))
            if event["type"] == "finish":
                signal.set()
        assert kinds(events).count("finish") == 1
        assert (await client.wait(execution(events))).status is TaskStatus.COMPLETED

    async def test_an_iterator_that_is_closed_stops_the_run(self, client: AsyncClient) -> None:
        async with contextlib.aclosing(client.workers.execute("sleep", {"TOPIC": "x"})) as events:
            first = await anext(events)
        await is_cancelled(client, UUID(str(first["executionId"])))

    async def test_a_reader_that_is_cancelled_stops_the_run(self, client: AsyncClient) -> None:
        seen: list[StreamEvent] = []

        async def read() -> None:
            async for event in client.workers.execute("sleep", {"TOPIC": "x"}):
                seen.append(event)  # noqa: PERF401 - seen while it goes on

        reading = asyncio.create_task(read())

        async def has_begun() -> bool:
            return any(event["type"] == "block-start" for event in seen)

        await eventually(has_begun)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await is_cancelled(client, UUID(str(seen[0]["executionId"])))

    async def test_who_leaves_with_the_result_leaves_a_completed_run(self, client: AsyncClient) -> None:
        events = client.workers.execute("summarise", {"TOPIC": "x"})
        async with contextlib.aclosing(events):
            async for event in events:
                if event["type"] == "start":
                    task_id = UUID(str(event["executionId"]))
                if event["type"] == "worker-result":
                    assert event["output"] == "x quick"
                    break
        assert (await client.wait(task_id)).status is TaskStatus.COMPLETED

    async def test_who_leaves_to_run_client_tools_leaves_a_run_that_waits(self, client: AsyncClient) -> None:
        async with contextlib.aclosing(client.workers.execute("search", {"TOPIC": "x"})) as events:
            async for event in events:
                if event["type"] == "client-tool-request":
                    break
        assert (await client.look(UUID(str(event["executionId"])))).status is TaskStatus.WAITING

    async def test_a_run_that_somebody_else_stops_ends_with_an_error(self, client: AsyncClient) -> None:
        events: list[dict[str, Any]] = []
        async with asyncio.timeout(30):
            async for event in client.workers.execute("sleep", {"TOPIC": "x"}):
                events.append(dict(event))
                if event["type"] == "block-start":
                    await client.cancel(execution(events))
        assert kinds(events)[-2:] == ["worker-result", "error"]
        assert events[-1]["code"] == "cancelled"
        check_legs([events], "server", task_id=str(execution(events)))


async def test_a_stream_for_an_http_response(client: AsyncClient) -> None:
    events = client.workers.execute("search", {"TOPIC": "line\nbreak"}, tools={"web-search": search})
    frames = [frame async for frame in to_sse_stream(events)]
    assert frames[-1] == "data: [DONE]\n\n"
    assert all(frame.startswith("data: {") for frame in frames[:-1])
    assert all(frame.count("\n") == 2 and frame.endswith("\n\n") for frame in frames)


async def test_the_full_example(client: AsyncClient, model: ScriptedOpenAI) -> None:
    model.script(ToolCall("web-search", {"query": "safety"}), Text("Use tests."))
    searched: list[str] = []
    shown: list[str] = []

    async def perform_web_search(args: dict[str, Any]) -> Any:
        searched.append(args["query"])
        return ["a page"]

    async def run_research_worker(topic: str) -> Any:
        output: Any = None
        async for event in client.workers.execute(
            "research", {"TOPIC": topic, "DEPTH": "detailed"}, tools={"web-search": perform_web_search}
        ):
            match event["type"]:
                case "worker-start":
                    shown.append(f"Started: {event['workerSlug']}")
                case "block-start":
                    shown.append(f"Step: {event['blockName']}")
                case "text-delta":
                    shown.append(str(event["delta"]))
                case "worker-result":
                    if "error" in event:
                        raise RuntimeError(event["error"])
                    output = event["output"]
                case "error":
                    raise RuntimeError(event["message"])
        return output

    assert await run_research_worker("AI safety best practices") == "Use tests."
    assert searched == ["safety"]
    assert shown[:2] == ["Started: research", "Step: Answer"]
    assert "".join(shown[2:]) == "Use tests."


async def test_without_an_event_loop(client: AsyncClient, database_url: str, model: ScriptedOpenAI) -> None:
    model.script(ToolCall("web-search", {"query": "x"}), Text("Done."))

    def program() -> None:
        with Client(database_url, poll_s=60.0) as plain:
            tools = {"web-search": lambda args: args["query"]}
            assert plain.workers.generate("research", {"TOPIC": "x"}, tools=tools).output == "Done."
            events = [dict(event) for event in plain.workers.execute("search", {"TOPIC": "x"})]
            (call,) = events[-2]["toolCalls"]
            results = [{"toolCallId": call["toolCallId"], "result": 7}]
            second = [dict(event) for event in plain.workers.continue_("search", execution(events), results)]
            assert second[-3]["output"] == 7
            with contextlib.closing(plain.workers.execute("sleep", {"TOPIC": "x"})) as left:  # type: ignore[type-var]
                stopped.append(UUID(str(next(left)["executionId"])))

    stopped: list[UUID] = []
    await asyncio.to_thread(program)
    await is_cancelled(client, stopped[0])
