"""The official JavaScript client, unmodified, in the oldest and the newest version that we promise."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from tests.gateway.conftest import Script
from tests.gateway.door import PUBLISHABLE, token

pytestmark = [pytest.mark.node, pytest.mark.slow]

FILTERS = {
    "eq": ["Lathe"],
    "neq": ["Dispossessed", "Rocannon", "Tehanu"],
    "gt": ["Dispossessed", "Lathe", "Rocannon"],
    "gte": ["Dispossessed"],
    "lt": ["Tehanu"],
    "lte": ["Tehanu"],
    "like": ["Tehanu"],
    "ilike": ["Lathe"],
    "likeAllOf": ["Lathe", "Tehanu"],
    "likeAnyOf": ["Lathe", "Tehanu"],
    "ilikeAnyOf": ["Lathe", "Tehanu"],
    "is": ["Rocannon", "Tehanu"],
    "in": ["Lathe", "Tehanu"],
    "contains": ["Dispossessed"],
    "containsJson": ["Dispossessed"],
    "containedBy": ["Dispossessed", "Lathe", "Rocannon", "Tehanu"],
    "overlaps": ["Dispossessed"],
    "rangeGt": ["Lathe"],
    "rangeGte": ["Lathe"],
    "rangeLt": ["Lathe"],
    "rangeLte": ["Lathe"],
    "rangeAdjacent": ["Lathe"],
    "textSearch": ["Lathe"],
    "textSearchPlain": ["Lathe"],
    "textSearchWeb": ["Lathe", "Tehanu"],
    "match": ["Lathe"],
    "not": ["Dispossessed", "Rocannon"],
    "or": ["Lathe", "Tehanu"],
    "orNested": ["Dispossessed", "Lathe", "Rocannon"],
    "filter": ["Dispossessed"],
    "jsonIndex": ["Dispossessed"],
    "isDistinct": ["Dispossessed", "Rocannon", "Tehanu"],
    "regexMatch": ["Lathe"],
    "odd": ["Lathe"],
}

NOT_ONE = "Cannot coerce the result to a single JSON object"


@pytest.mark.parametrize("version", ["2.109", "2.119"])
async def test_supabase_js_reads_writes_and_calls(  # noqa: PLR0915 - one script, one story
    run_script: Script, gateway: str, ann: UUID, version: str
) -> None:
    told = await run_script(
        "rest.mjs",
        SUPABASE_JS=f"supabase-js-{version}",
        URL=gateway,
        KEY=PUBLISHABLE,
        TOKEN=token(ann),
        USER_ID=str(ann),
    )

    assert told["filters"] == FILTERS

    def data(name: str, status: int = 200, count: int | None = None) -> Any:
        answer = told[name]
        assert (answer["error"], answer["status"], answer["count"]) == (None, status, count), name
        return answer["data"]

    def refusal(name: str) -> tuple[int, str, str]:
        answer = told[name]
        assert answer["data"] is None, name
        return answer["status"], answer["error"]["code"], answer["error"]["message"]

    assert data("insert", 201) is None
    (author,) = data("inserted")
    assert (author["name"], author["born"]) == ("Ursula", "1929-10-21")
    assert data("many", 201) == [
        {"title": "Dispossessed", "price": 12.25, "tags": ["utopia", "far off"], "shelf": "1"},
        {"title": "Lathe", "price": 10.50, "tags": [], "shelf": None},
    ]
    assert data("many with defaults", 201) == [
        {"title": "Rocannon", "price": 10.50},
        {"title": "Tehanu", "price": 3},
    ]
    null = 'null value in column "price" of relation "books" violates not-null constraint'
    assert refusal("a null that is not allowed") == (400, "23502", null)

    lathe = {"title": "Lathe"}
    assert data("single") == lathe
    assert refusal("no single") == (406, "PGRST116", NOT_ONE)
    assert data("maybe none") is None
    assert data("maybe one") == lathe
    assert refusal("maybe several")[:2] == (406, "PGRST116")
    assert data("counted page", 206, 4) == [{"title": "Tehanu"}, {"title": "Rocannon"}]
    assert data("counted head", 200, 4) is None
    assert told["planned"]["count"] >= 1
    assert data("estimated", 200, 4) is None
    assert refusal("page beyond") == (416, "PGRST103", "Requested range not satisfiable")
    assert data("ordered") == [{"title": "Dispossessed"}, {"title": "Lathe"}]

    assert data("update", 204) is None
    assert data("updated") == {"title": "Tehanu", "meta": {"a": 1}}
    assert data("updated none") == []
    assert data("counted update", 204, 2) is None
    assert data("upsert new", 201) == [{"name": "hall", "size": 1}]
    assert data("upsert old") == [{"name": "hall", "size": 2}]
    assert data("upsert ignored", 201) == []
    assert data("authors by name", 201) == [
        {"name": "Ursula", "born": "1930-01-01"},
        {"name": "Iain", "born": None},
    ]
    assert refusal("duplicate")[:2] == (409, "23505")
    assert refusal("foreign key")[:2] == (409, "23503")
    assert refusal("check")[:2] == (400, "23514")
    assert refusal("too many") == (400, "PGRST124", "Query result exceeds max-affected preference constraint")

    ursula = {"name": "Ursula"}
    assert data("to one") == [{"title": "Lathe", "author": ursula}]
    assert data("by column") == [{"title": "Lathe", "author_id": ursula}]
    assert data("to many") == [
        {"title": "Dispossessed", "reviews": [{"stars": 3}, {"stars": 5}]},
        {"title": "Lathe", "reviews": []},
    ]
    assert data("limited") == [{"title": "Dispossessed", "reviews": [{"stars": 5}]}]
    assert data("inner", 200, 1) == [{"title": "Dispossessed", "reviews": [{"stars": 5}]}]
    assert data("spread") == {"title": "Lathe", "writer": "Ursula"}
    assert refusal("ambiguous")[:2] == (300, "PGRST201")
    assert len(told["ambiguous"]["error"]["details"]) == 2
    assert refusal("no relation")[:2] == (400, "PGRST200")
    assert data("deeper") == {
        "name": "Ursula",
        "books": [
            {"title": "Dispossessed", "reviews": [{"text": "yes"}, {"text": None}]},
            {"title": "Lathe", "reviews": []},
        ],
    }

    assert (data("rpc scalar"), data("rpc default"), data("rpc get")) == (3, 2, 6)
    assert data("rpc set") == [2, 3, 5, 7]
    assert data("rpc rows") == [{"title": "Dispossessed"}]
    assert data("rpc count", 200, 4) is None
    assert data("rpc one") == {"title": "Dispossessed"}
    assert data("rpc table") == [{"kind": "reviews", "amount": 2}, {"kind": "books", "amount": 4}]
    assert data("rpc out") == {"a": 1, "b": "x"}
    assert data("rpc void", 204) is None
    assert data("rpc variadic") == 6
    assert refusal("rpc unknown")[:2] == (404, "PGRST202")
    who = data("rpc whoami")
    assert (who["uid"], who["role"], who["user"], who["session"]) == (
        str(ann),
        "authenticated",
        "authenticated",
        "authenticator",
    )

    assert refusal("unknown table")[:2] == (404, "PGRST205")
    assert refusal("unknown column") == (
        400,
        "PGRST204",
        "Could not find the 'titel' column of 'books' in the schema cache",
    )
    assert refusal("unknown schema") == (406, "PGRST106", "Invalid schema: private")
    assert refusal("csv")[:2] == (406, "PGRST107")
    assert data("delete", 204) is None
    assert data("deleted", 200, 1) == [{"title": "Tehanu"}]
