"""Requests that nobody would write: each is answered or refused, none ends in a crash."""

from __future__ import annotations

import json
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_worker.db.access.query import Operator
from tests.gateway.rest.conftest import Speak

BOUNDED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
COLUMNS = ["id", "title", "owner", "price", "code", "bound", "tags", "meta", "pages", "words", "made_at"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCRAP = st.one_of(
    TEXT, st.sampled_from(["1", "null", "(1,2)", "{1,2}", '{"a":1}', "[1,5)", "2026-01-01", "*", "%", '"'])
)
PLACE = st.one_of(st.sampled_from(COLUMNS), st.builds("{}->>{}".format, st.sampled_from(COLUMNS), TEXT), TEXT)
OPERATION = st.builds(
    "{}{}{}.{}".format,
    st.sampled_from(["", "not."]),
    st.sampled_from(Operator),
    st.sampled_from(["", "", "(any)", "(all)", "(english)"]),
    SCRAP,
)
PARAMETER = st.one_of(
    st.tuples(PLACE, OPERATION),
    st.tuples(
        st.sampled_from(["or", "and", "not.or"]), st.builds("({0}.{1},{0}.is.null)".format, PLACE, OPERATION)
    ),
    st.tuples(st.just("order"), st.builds("{}.desc".format, PLACE)),
    st.tuples(
        st.just("select"),
        st.builds("{}::{}".format, PLACE, st.sampled_from(["text", "int4", "jsonb", "regclass"])),
    ),
    st.tuples(st.sampled_from(["limit", "offset", "columns", "on_conflict", "apikey"]), SCRAP),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(COLUMNS), TEXT), inner, max_size=3),
    ),
    max_leaves=6,
)


@pytest.fixture
async def client(speak: Speak, ann: UUID) -> httpx.AsyncClient:
    """A client with one row."""
    client = speak(ann)
    await client.post("/books", json={"title": "one", "tags": ["a"], "meta": {"a": [1]}, "pages": "[1,5)"})
    return client


@BOUNDED
@given(parameters=st.lists(PARAMETER, max_size=4))
async def test_no_query_ends_in_a_crash(client: httpx.AsyncClient, parameters: list[tuple[str, str]]) -> None:
    got = await client.get("/books", params=parameters)

    assert got.status_code in {200, 206, 400, 404, 416}, got.text
    assert "at or near" not in got.text


@BOUNDED
@given(body=JSON, path=st.sampled_from(["books", "shelves", "rpc/echo", "rpc/said", "rpc/total", "rpc/add"]))
async def test_no_body_ends_in_a_crash(client: httpx.AsyncClient, body: object, path: str) -> None:
    headers = {"prefer": "tx=rollback,return=representation"}

    got = await client.post(path, content=json.dumps(body), headers=headers)

    assert got.status_code in {200, 201, 400, 403, 404, 409}, got.text
    assert "at or near" not in got.text
