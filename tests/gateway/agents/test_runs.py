"""Runs from start to end: started, read, asked, answered, taken up again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest

from agent_worker.worker.worker import Worker
from tests.gateway.agents.reading import Heard, listening
from tests.gateway.agents.serving import AgentsGateway, started
from tests.worker.conftest import Rows


async def test_a_run_streams_from_start_to_usage_and_is_done(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker, rows: Rows, ann_id: UUID
) -> None:
    async with started(ann, "echo", {"TOPIC": "the sea"}) as run:
        heard = await run.rest()
    assert heard.is_done
    assert heard.types[:2] == ["start", "worker-start"]
    assert heard.types[-3:] == ["worker-result", "finish", "usage"]
    assert heard.text == "the sea"
    assert heard.one("worker-result")["output"] == "the sea"
    task = await rows.task(UUID(heard.execution_id))
    assert (task["kind"], task["user_id"], task["status"]) == ("pipeline", str(ann_id), "completed")
    assert task["request_payload"] == {"agent": "echo", "version": 1, "input": {"TOPIC": "the sea"}}
    where = run.response.headers["content-location"]
    assert where == f"/api/agents/echo/executions/{heard.execution_id}"
    shown = (await ann.get(f"{gateway.url}{where}")).json()
    assert (shown["status"], shown["output"]) == ("completed", "the sea")
    assert {"type": "usage", **shown["usage"]} == heard.events[-1]


async def test_the_browsers_door_streams_the_same_run(ann: httpx.AsyncClient, worker: Worker) -> None:
    body = {"type": "trigger", "triggerName": "user-message", "input": {"TOPIC": "the sea"}}
    async with listening(ann, "POST", "/echo/stream", json=body) as run:
        heard = await run.rest()
    assert heard.is_done
    assert (heard.text, heard.types[0]) == ("the sea", "start")


async def test_an_interactive_agent_answers_the_trigger_that_is_named(
    ann: httpx.AsyncClient, worker: Worker
) -> None:
    body = {"type": "trigger", "triggerName": "user-message", "input": {"USER_MESSAGE": "Good morning."}}
    async with listening(ann, "POST", "/talk/stream", json=body) as run:
        heard = await run.rest()
    assert (heard.text, heard.types[-2:]) == ("Good morning.", ["finish", "usage"])
    refused = await ann.post("/talk/stream", json={**body, "triggerName": "user-mesage"})
    assert refused.status_code == 400
    assert "$.triggerName" in refused.json()["error"]
    assert "user-message" in refused.json()["error"]


async def test_the_secret_key_runs_agents_for_nobody(
    gateway: AgentsGateway, worker: Worker, rows: Rows
) -> None:
    async with gateway.client("service_role") as http, started(http, "echo", {"TOPIC": "all"}) as run:
        heard = await run.rest()
    assert heard.text == "all"
    assert (await rows.task(UUID(heard.execution_id)))["user_id"] is None


async def test_an_agent_is_found_by_its_id(
    ann: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker
) -> None:
    found = await gateway.definitions.find("echo")
    assert found is not None
    async with started(ann, str(found.id), {"TOPIC": "x"}) as run:
        heard = await run.rest()
    assert heard.text == "x"
    shown = await ann.get(f"/{found.id}/executions/{heard.execution_id}")
    assert shown.json()["agentId"] == str(found.id)


async def test_a_failure_ends_the_stream_with_one_error(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "wait", {"FOR": "soon"}) as run:
        heard = await run.rest()
    assert heard.is_done
    error = heard.one("error")
    assert (error["code"], error["errorType"], error["retryable"]) == (
        "invalid_wait",
        "execution_error",
        False,
    )
    assert heard.types[-2:] == ["worker-result", "error"]
    shown = (await ann.get(f"/wait/executions/{heard.execution_id}")).json()
    assert shown["status"] == "failed"
    assert shown["error"] == {name: value for name, value in error.items() if name != "type"}


# Tools of the client


@pytest.mark.parametrize(
    ("door", "request_type", "reason"),
    [("execute", "tool-request", "tool-calls"), ("stream", "client-tool-request", "client-tool-calls")],
)
async def test_tools_are_asked_of_each_audience_in_its_words_and_answered(
    ann: httpx.AsyncClient, worker: Worker, door: str, request_type: str, reason: str
) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}, door=door) as run:
        heard = await run.rest()
    assert heard.is_done
    (call,) = heard.one(request_type)["toolCalls"]
    assert (call["toolName"], call["args"]) == ("weather", {"city": "Ghent"})
    assert heard.one("finish")["finishReason"] == reason
    for answer in ("fine", "fine again"):
        body = answering(heard.execution_id, call["toolCallId"], answer)
        async with listening(ann, "POST", f"/tool/{door}", json=body) as run:
            heard = await run.rest()
        assert heard.is_done
        assert heard.types[0] == "start"
        if calls := heard.all(request_type):
            (call,) = calls[0]["toolCalls"]
            assert call["args"] == {"city": "fine"}
    assert heard.one("worker-result")["output"] == "fine again"


async def test_the_same_results_again_stream_the_same_leg(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}) as run:
        asked = await run.rest()
    body = answering(asked.execution_id, called(asked), "fine")
    legs = []
    for _ in range(3):
        async with listening(ann, "POST", "/tool/execute", json=body) as run:
            legs.append(await run.rest())
    assert legs[0].events == legs[1].events == legs[2].events
    assert legs[0].one("tool-request")["toolCalls"][0]["args"] == {"city": "fine"}


async def test_results_that_nobody_asked_for_are_refused_and_name_what_is_open(
    ann: httpx.AsyncClient, worker: Worker
) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}) as run:
        asked = await run.rest()
    reply = await ann.post("/tool/execute", json=answering(asked.execution_id, "call-9", "fine"))
    assert (reply.status_code, reply.json()["code"]) == (400, "validation_error")
    assert called(asked) in reply.json()["error"]


async def test_a_person_is_asked_as_a_tool_is(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "approval", {"PLAN": "ship"}, door="stream") as run:
        heard = await run.rest()
    (call,) = heard.one("client-tool-request")["toolCalls"]
    assert call["toolName"] == "agent_worker_human_approval"
    body = answering(heard.execution_id, call["toolCallId"], {"approved": True})
    async with listening(ann, "POST", "/approval/stream", json=body) as run:
        heard = await run.rest()
    assert heard.one("worker-result")["output"] is True


# Reading again


async def test_a_run_is_read_again_from_any_cursor(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "echo", {"TOPIC": "one two three"}) as run:
        whole = await run.rest()
    where = f"/echo/executions/{whole.execution_id}/events"
    for count, seq in whole.ids:
        async with listening(ann, "GET", where, params={"cursor": seq}) as run:
            rest = await run.rest()
        assert rest.is_done
        assert rest.events == whole.events[count:]
        async with listening(ann, "GET", where, headers={"Last-Event-ID": str(seq)}) as run:
            assert (await run.rest()).events == rest.events


async def test_a_cursor_behind_a_question_waits_for_the_next_leg(
    ann: httpx.AsyncClient, worker: Worker
) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}) as run:
        first = await run.rest()
    where = f"/tool/executions/{first.execution_id}/events"
    async with listening(ann, "GET", where, params={"cursor": first.last_id}) as watching:
        body = answering(first.execution_id, called(first), "fine")
        async with listening(ann, "POST", "/tool/execute", json=body) as run:
            second = await run.rest()
        assert (await watching.rest()).events == second.events
    async with listening(ann, "GET", where) as run:
        assert (await run.rest()).events == [*first.events, *second.events]


async def test_polling_gives_what_there_is_and_says_whether_more_comes(
    ann: httpx.AsyncClient, worker: Worker
) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}, door="stream") as run:
        first = await run.rest()
    where = f"/tool/executions/{first.execution_id}/events"
    asked = {"params": {"cursor": 0, "audience": "browser"}, "headers": {"Accept": "application/json"}}
    page = (await ann.get(where, **asked)).json()
    assert page == {"events": first.events, "cursor": first.last_id, "status": "idle"}
    asked["params"]["cursor"] = page["cursor"]
    assert (await ann.get(where, **asked)).json() == {**page, "events": []}
    await ann.post(f"/tool/executions/{first.execution_id}/cancel")
    ended = (await ann.get(where, **asked)).json()
    assert ended["status"] == "error"
    assert [event["type"] for event in ended["events"]][-1] == "error"


async def test_a_run_that_works_is_told_so_to_who_polls(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "wait", {"FOR": "10m"}) as run:
        begun = await run.until("block-start")
        where = f"/wait/executions/{run.heard.execution_id}/events"
        page = (await ann.get(where, headers={"Accept": "application/json"})).json()
    assert page["status"] == "streaming"
    assert begun in page["events"]


# Stopping


async def test_a_run_is_shown_and_stopped_by_a_call(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "wait", {"FOR": "10m"}) as run:
        await run.until("block-start")
        where = f"/wait/executions/{run.heard.execution_id}"
        shown = (await ann.get(where)).json()
        assert set(shown) == {"executionId", "agentId", "status", "cursor"}
        assert shown["status"] in {"processing", "pending"}
        stopped = await ann.post(f"{where}/cancel")
        assert stopped.json()["executionId"] == run.heard.execution_id
        heard = await run.rest()
    assert heard.is_done
    assert heard.one("error")["code"] == "cancelled"
    shown = (await ann.get(where)).json()
    assert (shown["status"], shown["error"]["code"]) == ("cancelled", "cancelled")
    again = await ann.post(f"{where}/cancel")
    assert again.json()["status"] == "cancelled", "twice is fine"


def answering(execution_id: str, call_id: str, result: object) -> dict[str, Any]:
    results = [{"toolCallId": call_id, "toolName": "weather", "result": result}]
    return {"type": "continue", "executionId": execution_id, "toolResults": results}


def called(heard: Heard) -> str:
    return str(heard.one("tool-request")["toolCalls"][0]["toolCallId"])
