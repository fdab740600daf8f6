"""Whatever a user asks, it sees and changes its own rows; whatever stands in a request, it is never SQL."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg
import pytest

from agent_worker.db.access.access import Access
from agent_worker.db.access.query import Call, Returned, Wishes
from agent_worker.db.access.refusals import StatementRefused
from agent_worker.domain.caller import Caller
from tests.gateway.rest.conftest import Speak

SHOWN = {"prefer": "return=representation"}
MERGE = {"prefer": "return=representation,resolution=merge-duplicates"}


@pytest.fixture
async def books(speak: Speak, ann: UUID, bob: UUID) -> dict[UUID, int]:
    """Ann and Bob have a book with a review each, and a shelf of the same name."""
    ids = {}
    for user in (ann, bob):
        client = speak(user)
        made = await client.post("/books", json={"title": "private"}, headers=SHOWN)
        ids[user] = made.json()[0]["id"]
        await client.post("/reviews", json={"book_id": ids[user], "stars": 5, "text": f"of {user}"})
        await client.post("/shelves", json={"name": "hall", "secret": f"of {user}"})
    return ids


QUERIES = [
    "select=*",
    "id=eq.{id}",
    "id=gt.0",
    "id=in.({id})",
    "owner=eq.{bob}",
    "or=(owner.eq.{bob},id.eq.{id})",
    "not.and=(id.eq.0)",
    "id=not.is.null&order=id&limit=1000",
    "title=like.*",
    "select=*,reviews(*)&reviews.owner=eq.{bob}",
    "select=*,reviews!inner(*)&reviews.stars=gt.0",
    "select=*,books(*),sequel_of(*)",
    "select=reviews(book_id(title,owner,reviews(*)))",
]


async def test_no_filter_shows_rows_of_others(
    speak: Speak, ann: UUID, bob: UUID, books: dict[UUID, int]
) -> None:
    client = speak(ann)

    for query in QUERIES:
        got = await client.get(f"/books?{query.format(id=books[bob], bob=bob)}")
        assert got.status_code == 200, (query, got.text)
        assert str(bob) not in got.text, query
        assert f'"id":{books[bob]},' not in got.text, query


async def test_no_count_tells_of_rows_of_others(speak: Speak, ann: UUID, books: dict[UUID, int]) -> None:
    got = await speak(ann).head("/books", headers={"prefer": "count=exact"})

    assert got.headers["content-range"] == "0-0/1"


async def test_no_call_shows_rows_of_others(
    speak: Speak, ann: UUID, bob: UUID, books: dict[UUID, int]
) -> None:
    mine = await speak(ann).post("/rpc/my_books", params={"select": "id,owner,reviews(*)"}, json={})

    assert [book["id"] for book in mine.json()] == [books[ann]]
    assert str(bob) not in mine.text


WRITES: list[tuple[str, str, dict[str, str] | None, dict[str, str]]] = [
    ("PATCH", "/books?id=eq.{id}", {"title": "taken"}, SHOWN),
    ("PATCH", "/books", {"owner": "{ann}"}, {}),
    ("PATCH", "/reviews?owner=eq.{bob}", {"text": "taken"}, SHOWN),
    ("DELETE", "/books?id=eq.{id}", None, SHOWN),
    ("DELETE", "/books", None, {}),
    ("POST", "/books", {"id": "{id}", "title": "taken"}, {}),
    ("POST", "/books?on_conflict=id", {"id": "{id}", "title": "taken"}, MERGE),
    ("POST", "/books?on_conflict=id", {"id": "{id}", "title": "taken", "owner": "{bob}"}, MERGE),
    ("POST", "/books", {"title": "planted", "owner": "{bob}"}, {}),
    (
        "POST",
        "/shelves",
        {"owner": "{bob}", "name": "hall", "secret": "taken"},
        {"prefer": "resolution=merge-duplicates"},
    ),
    ("POST", "/shelves", {"owner": "{bob}", "name": "new"}, {}),
]


async def test_no_write_reaches_rows_of_others(
    speak: Speak, ann: UUID, bob: UUID, books: dict[UUID, int], database_url: str
) -> None:
    client = speak(ann)
    before = rows_of(database_url, bob)
    names = {"id": books[bob], "ann": ann, "bob": bob}

    for method, path, body, headers in WRITES:
        filled = body and {key: value.format(**names) for key, value in body.items()}
        await client.request(method, path.format(**names), json=filled, headers=headers)
        assert rows_of(database_url, bob) == before, (method, path)


async def test_a_column_without_a_right_stays_hidden(speak: Speak, ann: UUID, books: dict[UUID, int]) -> None:
    client = speak(ann)

    for query in ("select=secret", "select=*", "select=name&secret=eq.x", "select=name&order=secret"):
        refused = await client.get(f"/shelves?{query}")
        assert (refused.status_code, refused.json()["code"]) == (403, "42501")
    written = await client.patch("/shelves?name=eq.hall", json={"secret": "x"}, headers={})
    assert written.status_code == 204
    refused = await client.patch("/shelves?name=eq.hall", json={"secret": "x"}, headers=SHOWN)
    assert refused.status_code == 403


@pytest.mark.parametrize("role", ["postgres", "nobody_of_that_name", 'anon"; reset role; --'])
async def test_no_role_beyond_ours_is_acted_as(access: Access, role: str) -> None:
    """The door lets no such caller in; if it did, the session could not become it."""
    call = Call("whoami", "{}", frozenset())

    with pytest.raises(StatementRefused) as caught:
        await access.run(Caller(role), call, Wishes(returned=Returned.REPRESENTATION))

    assert caught.value.sqlstate in {"42501", "22023"}


async def test_a_function_cannot_become_a_superuser(speak: Speak, ann: UUID) -> None:
    refused = await speak(ann).post("/rpc/take_over", json={})

    assert (refused.status_code, refused.json()["code"]) == (403, "42501")


async def test_nothing_of_a_request_stays_on_the_connection(
    speak: Speak, ann: UUID, books: dict[UUID, int], gateway_db: Any
) -> None:
    client = speak(ann)
    for _ in range(8):
        await client.get("/books")
        await client.get("/books?id=eq.x")
        await client.post("/books", json={}, headers={"prefer": "tx=rollback"})

    for _ in range(4):
        query = (
            "SELECT current_user, current_setting('request.jwt.claims'), current_setting('statement_timeout')"
        )
        assert await gateway_db.fetch_all(query) == [("authenticator", "", "0")]


READ_AS_SQL = "at or near"
"""What PostgreSQL's parser says of a statement that it does not understand."""

INJECTIONS = [
    "'; DROP TABLE books; --",
    '"; DROP TABLE books; --',
    "x\\'; SELECT pg_sleep(9); --",
    "1) OR 1=1 --",
    "$1",
    "$$; SELECT 1; $$",
    "%s %(a)s {} {0}",
    "/* */ UNION SELECT * FROM pg_authid",
    "\u2019 OR \u20191\u2019=\u20191",
    "a\nb\r\nc",
]
PLACES = [
    "{0}=eq.1",
    "title=eq.{0}",
    "title=in.({0})",
    "title=like.{0}",
    "title=match.{0}",
    "title=fts({0}).x",
    "words=fts.{0}",
    "tags=cs.{0}",
    "meta->>{0}=eq.1",
    "meta->{0}->x=eq.1",
    "or=(title.eq.{0})",
    'or=(title.eq."{0}")',
    "select={0}",
    "select=title::{0}",
    "select=a:{0}",
    'select="{0}":title',
    "select=title,{0}(*)",
    "select=title,authors!{0}(*)",
    "order={0}",
    "order=title.{0}",
    "limit={0}",
    "offset={0}",
]


async def test_a_query_is_never_sql(speak: Speak, ann: UUID, books: dict[UUID, int]) -> None:
    client = speak(ann)

    for place, injection in itertools.product(PLACES, INJECTIONS):
        parts = [part.partition("=") for part in place.split("&")]
        params = {name.format(injection): value.format(injection) for name, _, value in parts}
        got = await client.get("/books", params=params)
        assert got.status_code in {200, 300, 400, 404, 416}, (place, injection, got.text)
        assert READ_AS_SQL not in got.text, (place, injection, got.text)

    assert (await client.get("/books?select=title")).json() == [{"title": "private"}]


async def test_other_places_are_never_sql(speak: Speak, ann: UUID, books: dict[UUID, int]) -> None:
    client = speak(ann)

    for injection in INJECTIONS:
        tries = [
            await client.post("/books", json={injection: 1}),
            await client.post("/books", json={"title": injection}, headers=SHOWN),
            await client.post("/books", params={"columns": f'"{injection}"'}, json=[{}]),
            await client.post(
                "/books", params={"on_conflict": injection}, json=[{"title": "x"}], headers=MERGE
            ),
            await client.post(f"/rpc/{quote(injection, safe='')}", json={}),
            await client.post("/rpc/note", json={injection: 1}),
            await client.post("/rpc/shout", json={"": injection}),
            await client.get("/rpc/add", params={"a": injection}),
            await client.patch("/books", params={"title": f"eq.{injection}"}, json={"title": injection}),
            await client.delete("/books", params={injection: "eq.1"}),
        ]
        for got in tries:
            assert got.status_code < 500, got.text
            assert READ_AS_SQL not in got.text, got.text

    titles = [book["title"] for book in (await client.get("/books?select=title")).json()]
    assert titles == ["private", *INJECTIONS]


def rows_of(database_url: str, user: UUID) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        return [
            row
            for table in ("books", "reviews", "shelves")
            for row in conn.execute(
                f"SELECT * FROM {table} WHERE owner = %s ORDER BY 1, 2",
                [user],  # type: ignore[arg-type]
            ).fetchall()
        ]
