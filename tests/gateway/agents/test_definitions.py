"""Definitions over HTTP, as the worker protocol's command line asks for them: by the secret key and operators."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from agent_worker.worker.worker import Worker
from tests.gateway.agents.agents import wire
from tests.gateway.agents.serving import AgentsGateway, started
from tests.gateway.agents.test_refusals import told


@pytest.fixture
async def keeper(gateway: AgentsGateway) -> AsyncIterator[httpx.AsyncClient]:
    """A program with the secret key, asking for paths below /api."""
    async with gateway.client("service_role") as http:
        http.base_url = httpx.URL(f"{gateway.url}/api/")
        yield http


def named(slug: str, **parts: Any) -> dict[str, Any]:
    """The agent `echo` under another name."""
    made = wire("echo")
    return {**made, "settings": {**made["settings"], "slug": slug}, **parts}


async def test_agents_are_listed_by_slug_without_their_content(keeper: httpx.AsyncClient) -> None:
    agents = (await keeper.get("agents")).json()["agents"]
    assert [agent["slug"] for agent in agents] == ["approval", "echo", "talk", "tool", "wait"]
    assert set(agents[0]) == {
        *("slug", "id", "name", "description", "format", "createdAt", "updatedAt", "projectId")
    }
    assert (agents[2]["name"], agents[2]["format"], agents[2]["description"]) == ("Talk", "interactive", None)


async def test_an_agent_is_shown_as_it_was_sent(keeper: httpx.AsyncClient) -> None:
    shown = (await keeper.get("agents/echo", params={"by": "slug"})).json()
    assert {name: shown[name] for name in wire("echo")} == wire("echo")
    again = (await keeper.get(f"agents/{shown['id']}")).json()
    assert again == shown
    assert told(await keeper.get(f"agents/{shown['id']}", params={"by": "slug"})) == (404, "not_found")


async def test_a_new_agent_runs_at_once(
    keeper: httpx.AsyncClient, ann: httpx.AsyncClient, worker: Worker
) -> None:
    made = await keeper.post("agents", json=named("parrot"))
    assert made.status_code == 201
    assert set(made.json()) == {"agentId", "message"}
    async with started(ann, "parrot", {"TOPIC": "hello"}) as run:
        assert (await run.rest()).text == "hello"


async def test_a_slug_that_is_taken_is_refused(keeper: httpx.AsyncClient) -> None:
    assert told(await keeper.post("agents", json=named("echo"))) == (409, "already_exists")


async def test_a_change_makes_a_version_and_needs_no_slug(
    keeper: httpx.AsyncClient, gateway: AgentsGateway
) -> None:
    before = (await keeper.get("agents/echo")).json()
    settings = {"name": "Renamed", "format": "worker"}
    body = {"settings": settings, "protocol": before["protocol"], "prompts": before["prompts"]}
    changed = await keeper.patch("agents/echo", params={"by": "slug"}, json=body)
    assert changed.json()["agentId"] == before["id"]
    after = (await keeper.get("agents/echo")).json()
    assert (after["settings"], after["version"]) == ({"slug": "echo", **settings}, 2)
    assert after["references"] == before["references"], "what is not sent stays"
    same = await keeper.patch("agents/echo", json=body)
    assert same.status_code == 200
    assert (await keeper.get("agents/echo")).json()["version"] == 2, "the same again makes no version"


async def test_a_change_can_neither_rename_nor_break_an_agent(keeper: httpx.AsyncClient) -> None:
    renamed = await keeper.patch("agents/echo", json={"settings": named("other")["settings"]})
    assert told(renamed) == (400, "validation_error")
    broken = await keeper.patch("agents/echo", json={"protocol": "steps: {}"})
    assert told(broken) == (400, "validation_error")
    assert "protocol.yaml" in broken.json()["error"]
    assert (await keeper.get("agents/echo")).json()["version"] == 1
    assert told(await keeper.patch("agents/nobody", json={})) == (404, "not_found")


async def test_an_archived_agent_is_not_found_and_can_be_added_again(
    keeper: httpx.AsyncClient, ann: httpx.AsyncClient, worker: Worker
) -> None:
    async with started(ann, "echo", {"TOPIC": "x"}) as run:
        heard = await run.rest()
    archived = await keeper.delete("agents/echo", params={"by": "slug"})
    assert set(archived.json()) == {"agentId", "message"}
    for reply in (
        await keeper.get("agents/echo"),
        await keeper.delete("agents/echo"),
        await ann.post("/echo/execute", json={"type": "start", "input": {"TOPIC": "x"}}),
    ):
        assert told(reply) == (404, "not_found")
    shown = await ann.get(f"/echo/executions/{heard.execution_id}")
    assert shown.json()["status"] == "completed", "its runs are still shown"
    assert (await keeper.post("agents", json=wire("echo"))).json()["agentId"] == archived.json()["agentId"]


@pytest.mark.parametrize(
    "body",
    [None, [], {}, 3, "text", {"settings": 1}, {"settings": {}, "protocol": "a: [", "prompts": [1]}],
)
async def test_validating_answers_whatever_it_is_given(keeper: httpx.AsyncClient, body: object) -> None:
    reply = await keeper.post("agents/validate", content=json.dumps(body))
    assert reply.status_code == 200
    report = reply.json()
    assert set(report) == {"valid", "errors", "warnings"}
    assert not report["valid"]
    assert all({"message", "severity"} <= set(error) for error in report["errors"])


async def test_validating_says_where_each_mistake_is(keeper: httpx.AsyncClient) -> None:
    assert (await keeper.post("agents/validate", json=wire("echo"))).json()["valid"]
    wrong = {**wire("echo"), "protocol": wire("echo")["protocol"].replace("thread: talk", "thread: walk", 1)}
    report = (await keeper.post("agents/validate", json=wrong)).json()
    assert not report["valid"]
    assert {"path", "line", "file"} <= set(report["errors"][0])
    assert told(await keeper.post("agents/validate", content=b"{")) == (400, "validation_error")


async def test_definitions_are_for_the_secret_key_and_operators(
    gateway: AgentsGateway, ann: httpx.AsyncClient
) -> None:
    calls = (
        ("GET", "", None),
        ("POST", "", named("parrot")),
        ("POST", "/validate", wire("echo")),
        ("GET", "/echo", None),
        ("PATCH", "/echo", {}),
        ("DELETE", "/echo", None),
    )
    url = f"{gateway.url}/api/agents"
    for method, path, body in calls:
        assert told(await ann.request(method, url + path, json=body)) == (403, "not_operator")
    metadata: dict[str, Any]
    for metadata in ({"agent_worker": "reader"}, {"roles": ["operator"]}):
        async with gateway.client(uuid4(), app_metadata=metadata) as http:
            assert told(await http.get(url)) == (403, "not_operator")
    user_metadata = {"agent_worker": "operator"}  # which users write themselves
    async with gateway.client(uuid4(), user_metadata=user_metadata, app_metadata="operator") as http:
        assert told(await http.get(url)) == (403, "not_operator")
    async with gateway.client(uuid4(), app_metadata={"agent_worker": "operator"}) as http:
        for method, path, body in calls:
            assert (await http.request(method, url + path, json=body)).status_code in {200, 201}
