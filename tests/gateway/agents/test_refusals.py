"""What is refused: strangers, slips, other people's runs, and what is no request at all; always in one flat body."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from agent_worker.db.connection import Database
from agent_worker.db.runs import Run, Runs
from agent_worker.domain.caller import Caller
from agent_worker.domain.errors import DatabaseUnavailable
from agent_worker.worker.worker import Worker
from tests.gateway.agents.reading import listening
from tests.gateway.agents.serving import AgentsGateway, agents_gateway, started
from tests.gateway.door import PUBLISHABLE, SECRET, token

NOWHERE = b"11111111-1111-4111-8111-111111111111"
START = {"type": "start", "input": {"TOPIC": "x"}}


def told(reply: httpx.Response) -> tuple[int, str]:
    """The status and the code of a refusal, having looked at its form."""
    body = reply.json()
    assert set(body) == {"error", "code"}, body
    assert all(isinstance(value, str) and value for value in body.values())
    assert reply.headers["content-type"].startswith("application/json")
    return reply.status_code, body["code"]


# Who asks


async def test_visitors_are_asked_to_sign_in(gateway: AgentsGateway) -> None:
    bearers = {"no_api_key": {}, "no_authorization": {"apikey": PUBLISHABLE}}
    bearers["no_authorization "] = {"authorization": f"Bearer {PUBLISHABLE}"}
    bearers["invalid_api_key"] = {"authorization": "Bearer sb_secret_wrong"}
    bearers["PGRST301"] = {"authorization": "Bearer nonsense"}
    async with httpx.AsyncClient(base_url=f"{gateway.url}/api/agents") as http:
        for code, headers in bearers.items():
            for reply in (
                await http.post("/echo/execute", json=START, headers=headers),
                await http.get(f"/echo/executions/{uuid4()}", headers=headers),
                await http.get(f"{gateway.url}/api/agents", headers=headers),
            ):
                assert told(reply) == (401, code.strip())


async def test_keys_and_tokens_come_alone_or_together(gateway: AgentsGateway) -> None:
    user = f"Bearer {token(uuid4())}"
    ways: list[dict[str, str]] = [
        {"apikey": SECRET},
        {"authorization": f"Bearer {SECRET}"},
        {"authorization": user},
        {"apikey": PUBLISHABLE, "authorization": user},
        {"apikey": SECRET, "authorization": f"Bearer {SECRET}"},
    ]
    async with httpx.AsyncClient(base_url=f"{gateway.url}/api/agents") as http:
        for headers in ways:
            reply = await http.get(f"/echo/executions/{uuid4()}", headers=headers)
            assert told(reply) == (404, "not_found")
        browser = {"authorization": f"Bearer {SECRET}", "User-Agent": "Mozilla/5.0"}
        assert told(await http.get(f"{gateway.url}/api/agents", headers=browser)) == (
            401,
            "secret_key_in_browser",
        )


async def test_runs_of_others_are_not_there(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, gateway: AgentsGateway, worker: Worker
) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}) as run:
        heard = await run.rest()
    run_id = heard.execution_id
    results = [{"toolCallId": heard.one("tool-request")["toolCalls"][0]["toolCallId"], "result": 1}]
    go_on = {"type": "continue", "executionId": run_id, "toolResults": results}
    for reply in (
        await bob.get(f"/tool/executions/{run_id}"),
        await bob.get(f"/tool/executions/{run_id}/events"),
        await bob.post(f"/tool/executions/{run_id}/cancel"),
        await bob.post("/tool/execute", json=go_on),
        await ann.get(f"/echo/executions/{run_id}"),
        await ann.post("/echo/execute", json=go_on),
    ):
        assert told(reply) == (404, "not_found")
    assert (await ann.get(f"/tool/executions/{run_id}")).json()["status"] == "waiting", (
        "and nobody stopped it"
    )
    operator = gateway.client(uuid4(), app_metadata={"agent_worker": "operator"})
    async with operator as http, listening(http, "GET", f"/tool/executions/{run_id}/events") as watching:
        assert (await watching.rest()).events == heard.events
        assert told(await http.post("/tool/execute", json=go_on)) == (403, "not_allowed")


# What they ask


async def test_an_agent_that_is_not_there_is_not_found(
    ann: httpx.AsyncClient, gateway: AgentsGateway
) -> None:
    await gateway.definitions.archive("wait")
    for agent_id in ("nobody", "wait", str(uuid4()), "%00", "a%2Fb", "..%2Fecho", "é", "x" * 300, "echo%20"):
        reply = await ann.post(f"/{agent_id}/execute", json=START)
        assert reply.status_code in {404, 405}
        assert told(reply)[1] in {"not_found", "no_route", "method_not_allowed"}


@pytest.mark.parametrize("run_id", ["1", "%00", "null", "'; DROP TABLE x; --", "ffffffff-ffff", "x" * 1000])
async def test_a_run_that_cannot_be_is_not_found(ann: httpx.AsyncClient, run_id: str) -> None:
    for path in (f"/echo/executions/{run_id}", f"/echo/executions/{run_id}/events"):
        assert told(await ann.get(path)) == (404, "not_found")
    assert told(await ann.post(f"/echo/executions/{run_id}/cancel")) == (404, "not_found")


@pytest.mark.parametrize(
    ("agent", "given", "path"),
    [
        ("echo", {}, "$.input.TOPIC is required"),
        ("echo", {"TOPIC": 3}, "$.input.TOPIC must be text"),
        ("echo", {"TOPIC": "x", "TOPICS": "y"}, "$.input has no input"),
        ("echo", {"TOPIC": "x", "TIMES": "often"}, "$.input.TIMES must be a whole number"),
        ("echo", {"TOPIC": "a\0b"}, "request_payload.input.TOPIC holds a NUL"),
        ("talk", {}, "interactive"),
    ],
)
async def test_an_input_that_does_not_fit_is_refused_before_anything_begins(
    ann: httpx.AsyncClient, db: Database, agent: str, given: dict[str, Any], path: str
) -> None:
    reply = await ann.post(f"/{agent}/execute", json={"type": "start", "input": given})
    assert told(reply) == (400, "validation_error")
    assert path in reply.json()["error"]
    assert await db.fetch_value("SELECT count(*) FROM agent_task_requests") == 0


@pytest.mark.parametrize(
    ("body", "told_path"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (b'{"type": NaN}', "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[" * 5_000 + b"]" * 5_000, "no JSON"),
        (b"[]", "$"),
        (b"null", "$"),
        (b"{}", "$.type"),
        (b'{"type": "stop"}', "$.type"),
        (b'{"type": "start", "input": []}', "$.input"),
        (b'{"type": "continue"}', "$.executionId"),
        (b'{"type": "continue", "executionId": 1, "toolResults": []}', "$.executionId"),
        (
            b'{"type": "continue", "executionId": "%s", "toolResults": []}' % NOWHERE,
            "$.toolResults",
        ),
        (
            b'{"type": "continue", "executionId": "%s", "toolResults": [{"error": {}}]}' % NOWHERE,
            "$.toolResults[0].toolCallId",
        ),
    ],
)
async def test_a_body_that_is_no_command_is_refused_with_its_place(
    ann: httpx.AsyncClient, body: bytes, told_path: str
) -> None:
    for door in ("execute", "stream"):
        reply = await ann.post(f"/echo/{door}", content=body)
        assert told(reply) == (400, "validation_error")
        assert told_path in reply.json()["error"]


async def test_deep_input_is_refused_or_taken_and_breaks_nothing(ann: httpx.AsyncClient) -> None:
    for depth in (100, 900, 3_000):
        body = b'{"type": "start", "input": {"TOPIC": %s1%s}}' % (b"[" * depth, b"]" * depth)
        assert told(await ann.post("/echo/execute", content=body)) == (400, "validation_error")


async def test_bodies_of_twenty_megabytes_are_too_large(
    ann: httpx.AsyncClient, gateway: AgentsGateway
) -> None:
    large = json.dumps({"type": "start", "input": {"TOPIC": "x" * 20_000_000}}).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(large), 1_000_000):
            yield large[begin : begin + 1_000_000]

    assert told(await ann.post("/echo/execute", content=large)) == (413, "body_too_large")
    assert told(await ann.post("/echo/execute", content=pieces())) == (413, "body_too_large")
    assert told(await ann.post(f"{gateway.url}/api/agents", content=large)) == (413, "body_too_large")


async def test_an_input_as_large_as_the_table_takes_is_run(ann: httpx.AsyncClient, worker: Worker) -> None:
    topic = "x" * 1_000_000
    async with started(ann, "echo", {"TOPIC": topic}) as run:
        assert (await run.rest()).text == topic


@pytest.mark.parametrize("cursor", ["-1", "x", "1.5", "9" * 30, "٣", " 1"])
async def test_a_cursor_is_a_number(ann: httpx.AsyncClient, worker: Worker, cursor: str) -> None:
    async with started(ann, "echo", {"TOPIC": "x"}) as run:
        heard = await run.rest()
    where = f"/echo/executions/{heard.execution_id}/events"
    assert told(await ann.get(where, params={"cursor": cursor})) == (400, "validation_error")
    assert told(await ann.get(where, params={"audience": "both"})) == (400, "validation_error")
    async with listening(ann, "GET", where, params={"cursor": "9999999999"}) as run:
        late = await run.rest()
    assert (late.events, late.is_done) == ([], True), "nothing lies behind it"


class FailingRuns(Runs):
    """Fails with what a test gives it."""

    error: Exception = RuntimeError("postgresql://user:secret@db/x")

    async def look(self, caller: Caller, run_id: UUID) -> Run | None:
        raise self.error


async def test_what_nobody_expected_is_told_in_the_same_form_and_tells_no_more(
    database_url: str, db: Database, ann_id: UUID
) -> None:
    away = DatabaseUnavailable("postgres is not reachable at 10.1.2.3:5432/secret")
    async with (
        agents_gateway(database_url, db, runs_of=FailingRuns) as gateway,
        gateway.client(ann_id) as ann,
    ):
        reply = await ann.get(f"/echo/executions/{uuid4()}")
        assert told(reply) == (500, "unexpected_failure")
        assert "secret" not in reply.text
        FailingRuns.error = away
        reply = await ann.get(f"/echo/executions/{uuid4()}/events")
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert set(reply.json()) == {"error", "code"}
        assert "10.1.2.3" not in reply.text


async def test_other_methods_and_paths_are_told_in_the_same_form(ann: httpx.AsyncClient) -> None:
    assert told(await ann.put("/echo/execute")) == (405, "method_not_allowed")
    assert told(await ann.get("/echo/what/is/this")) == (404, "no_route")


async def test_a_question_that_was_withdrawn_takes_no_answer(ann: httpx.AsyncClient, worker: Worker) -> None:
    async with started(ann, "tool", {"CITY": "Ghent"}) as run:
        heard = await run.rest()
    await ann.post(f"/tool/executions/{heard.execution_id}/cancel")
    results = [{"toolCallId": heard.one("tool-request")["toolCalls"][0]["toolCallId"], "result": 1}]
    go_on = {"type": "continue", "executionId": heard.execution_id, "toolResults": results}
    assert told(await ann.post("/tool/execute", json=go_on)) == (409, "question_closed")


async def test_a_user_who_is_nobody_in_particular_may_not_run(gateway: AgentsGateway) -> None:
    async with gateway.client(UUID(int=0), sub="somebody") as http:
        reply = await http.post("/echo/execute", json=START)
    assert told(reply) in {(403, "not_allowed"), (400, "validation_error")}
