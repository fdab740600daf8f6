"""Statuses, headers and error bodies as PostgREST documents them."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from agent_worker.db.access.access import Access
from agent_worker.db.connection import Database
from tests.gateway.door import PUBLISHABLE
from tests.gateway.rest.conftest import Speak
from tests.gateway.serving import serving

OBJECT = {"accept": "application/vnd.pgrst.object+json"}
SHOWN = {"prefer": "return=representation"}


async def fill(client: httpx.AsyncClient, *titles: str, **columns: Any) -> list[int]:
    """Insert books and return their ids."""
    rows = [{"title": title, **columns} for title in titles]
    made = await client.post("/books", params={"select": "id"}, json=rows, headers=SHOWN)
    return [row["id"] for row in made.json()]


async def test_an_insert_says_where_the_row_is(speak: Speak, ann: UUID) -> None:
    client = speak(ann)

    made = await client.post("/shelves", json={"name": "a b&c"}, headers={"prefer": "return=headers-only"})

    assert (made.status_code, made.text) == (201, "")
    assert made.headers["location"] == f"/shelves?owner=eq.{ann}&name=eq.a+b%26c"
    assert made.headers["preference-applied"] == "return=headers-only"
    found = await client.get(f"{made.headers['location']}&select=name")
    assert found.json() == [{"name": "a b&c"}]


@pytest.mark.parametrize(
    ("body", "rows"),
    [("[]", 0), ("{}", 1), ("[{}]", 1), ("[{},{}]", 2), ("", 1), (' [ {"note": "x"} ] ', 1)],
    ids=["none", "empty", "one empty", "two empty", "no body", "blanks"],
)
async def test_bodies_without_columns_insert_defaults(speak: Speak, ann: UUID, body: str, rows: int) -> None:
    made = await speak(ann).post("/open_notes", content=body, headers=SHOWN)

    assert (made.status_code, len(made.json())) == (201, rows)


@pytest.mark.parametrize(
    "body",
    [
        '{"title"',
        "null",
        "3",
        '"x"',
        "[1]",
        '[{"title":"a"},{"price":1}]',
        '{"title":"\x00"}',
        "[" * 100_000,
        b"\xff",
    ],
    ids=["cut", "null", "number", "text", "array of numbers", "unequal", "nul", "deep", "no utf-8"],
)
async def test_a_body_that_is_none_is_refused(speak: Speak, ann: UUID, body: str | bytes) -> None:
    refused = await speak(ann).post("/books", content=body)

    assert (refused.status_code, refused.json()["code"]) == (400, "PGRST102")


@pytest.mark.parametrize(
    ("columns", "body", "code"),
    [
        ("title", '{"title"', "22P02"),
        ("title", "[1]", "22023"),
        ("title", '[{"title": "\\u0000"}]', "22P05"),
        ("meta", '[{"meta": {"a": "\\ud800"}}]', "22P02"),
        ("price", '[{"price": "x"}]', "22P02"),
        ("code", '[{"title": "x", "code": "too long"}]', "22001"),
        ("titel", "[{}]", "PGRST204"),
        ("", "[{}]", "PGRST100"),
    ],
)
async def test_a_body_that_postgresql_refuses_is_told_in_its_words(
    speak: Speak, ann: UUID, columns: str, body: str, code: str
) -> None:
    wanted = f'"title",{columns}' if code == "22001" else columns

    refused = await speak(ann).post("/books", params={"columns": wanted}, content=body)

    assert (refused.status_code, refused.json()["code"]) == (400, code)
    assert "INSERT" not in refused.text


async def test_columns_that_are_not_named_are_not_written(speak: Speak, ann: UUID) -> None:
    made = await speak(ann).post(
        "/books", params={"columns": "title"}, json=[{"title": "x", "price": 99}], headers=SHOWN
    )

    assert made.json()[0]["price"] == 10.5


async def test_rows_are_counted_as_asked(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    await fill(client, *"abcde")

    async def page(count: str | None, **params: Any) -> tuple[int, str]:
        headers = {"prefer": f"count={count}"} if count else {}
        got = await client.get("/books", params={"select": "id", **params}, headers=headers)
        return got.status_code, got.headers["content-range"]

    assert await page(None) == (200, "0-4/*")
    assert await page("exact") == (200, "0-4/5")
    assert await page("exact", limit=2, offset=1) == (206, "1-2/5")
    assert await page("exact", limit=0) == (206, "*/5")
    assert await page("exact", offset=5) == (206, "*/5")
    assert await page("exact", offset=6) == (416, "*/5")
    assert await page(None, offset=6) == (200, "*/*")
    assert await page("exact", id="eq.-1") == (200, "*/0")
    assert await page("estimated", limit=2) == (206, "0-1/5")
    assert (await page("planned"))[1].startswith("0-4/")


@pytest.mark.parametrize(
    ("header", "limit", "expected"),
    [
        ("0-1", 10, ("ab", "0-1/*")),
        ("2-", 10, ("cde", "2-4/*")),
        ("1-3", 2, ("b", "1-1/*")),
        ("bytes=0-1", 10, ("abcde", "0-4/*")),
    ],
)
async def test_a_range_header_narrows_the_rows(
    speak: Speak, ann: UUID, header: str, limit: int, expected: tuple[str, str]
) -> None:
    client = speak(ann)
    await fill(client, *"abcde")
    params = {"select": "title", "order": "title", "limit": limit}

    got = await client.get("/books", params=params, headers={"range": header})

    assert ("".join(book["title"] for book in got.json()), got.headers["content-range"]) == expected


@pytest.mark.parametrize(("header", "params"), [("3-1", {}), ("0-1", {"limit": "-1"})])
async def test_a_range_that_cannot_be_is_refused(
    speak: Speak, ann: UUID, header: str, params: dict[str, str]
) -> None:
    refused = await speak(ann).get("/books", params=params, headers={"range": header})

    assert (refused.status_code, refused.json()["code"]) == (416, "PGRST103")


async def test_a_list_is_cut_to_max_rows(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    await fill(client, *(f"{n:04}" for n in range(1003)))

    got = await client.get("/books", params={"select": "title"}, headers={"prefer": "count=exact"})
    wide = await client.get("/books", params={"select": "title", "limit": 5000})
    estimated = await client.get("/books", params={"select": "id"}, headers={"prefer": "count=estimated"})

    assert (got.status_code, got.headers["content-range"]) == (206, "0-999/1003")
    assert len(wide.json()) == 1000
    assert int(estimated.headers["content-range"].partition("/")[2]) > 1000
    gone = await client.delete("/books", params={"select": "id", "id": "gt.0"}, headers=SHOWN)
    assert len(gone.json()) == 1003, "a write is answered in full"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "application/json; charset=utf-8"),
        ("text/html, application/json;q=0.9, */*;q=0.1", "application/json; charset=utf-8"),
        ("application/vnd.pgrst.array", "application/vnd.pgrst.array+json; charset=utf-8"),
        (
            "application/vnd.pgrst.array+json;nulls=stripped",
            "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8",
        ),
    ],
)
async def test_the_answer_has_a_type_that_the_client_accepts(
    speak: Speak, accept: str, content_type: str
) -> None:
    got = await speak(None).get("/authors", headers={"accept": accept})

    assert (got.status_code, got.headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize(
    "accept",
    [
        "text/csv",
        "application/geo+json",
        "application/vnd.pgrst.plan+json",
        "image/png, application/json;q=0",
    ],
)
async def test_a_type_that_is_not_there_is_refused(speak: Speak, accept: str) -> None:
    refused = await speak(None).get("/authors", headers={"accept": accept})

    assert (refused.status_code, refused.json()) == (
        406,
        {
            "code": "PGRST107",
            "message": f"None of these media types are available: {accept}",
            "details": None,
            "hint": None,
        },
    )


async def test_a_write_that_is_not_single_changes_nothing(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    await fill(client, "a", "b")

    for method, body in (("PATCH", {"price": 1}), ("DELETE", None)):
        refused = await client.request(method, "/books?id=gt.0", json=body, headers={**SHOWN, **OBJECT})
        assert (refused.status_code, refused.json()["details"]) == (406, "The result contains 2 rows")
    refused = await client.post("/books", json=[{"title": "c"}, {"title": "d"}], headers={**SHOWN, **OBJECT})
    assert refused.status_code == 406

    left = (await client.get("/books", params={"select": "title,price", "order": "title"})).json()
    assert left == [{"title": "a", "price": 10.5}, {"title": "b", "price": 10.5}]


async def test_a_write_without_a_filter_is_refused(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    await fill(client, "a")

    for method, command in (("PATCH", "UPDATE"), ("DELETE", "DELETE")):
        refused = await client.request(method, "/books", json={"price": 1})
        assert (refused.status_code, refused.json()["code"]) == (400, "21000")
        assert refused.json()["message"] == f"{command} requires a WHERE clause"


async def test_a_database_that_is_away_is_told_as_such() -> None:
    async with (
        serving(Access(Database("postgresql://127.0.0.1:1/away"))) as url,
        httpx.AsyncClient() as client,
    ):
        refused = await client.get(f"{url}/rest/v1/books", headers={"apikey": PUBLISHABLE})

    assert (refused.status_code, refused.json()["code"]) == (503, "PGRST000")
    assert refused.headers["retry-after"] == "1"
    assert "127.0.0.1" not in refused.text


async def test_a_rollback_answers_and_changes_nothing(speak: Speak, ann: UUID) -> None:
    client = speak(ann)

    made = await client.post(
        "/books", json={"title": "a"}, headers={"prefer": "return=representation,tx=rollback"}
    )

    assert (made.status_code, made.json()[0]["title"]) == (201, "a")
    assert made.headers["preference-applied"] == "return=representation, tx=rollback"
    assert (await client.get("/books")).json() == []


async def test_strict_handling_refuses_what_it_does_not_know(speak: Speak) -> None:
    refused = await speak(None).get("/authors", headers={"prefer": "handling=strict, count=guess, a=b"})
    lenient = await speak(None).get("/authors", headers={"prefer": "count=guess, a=b"})

    assert lenient.status_code == 200
    assert refused.status_code == 400
    assert refused.json()["details"] == "Invalid preferences: count=guess, a=b"


REFUSALS = [
    ("/authors?select=nam", 400, "42703"),
    ("/authors?select=name::nosuch", 400, "42704"),
    ("/authors?select=name,", 400, "PGRST100"),
    ("/authors?select=name(", 400, "PGRST100"),
    ("/authors?select=id.sum()", 400, "PGRST123"),
    ("/authors?nam=eq.x", 400, "42703"),
    ("/authors?id=eq", 400, "PGRST100"),
    ("/authors?id=is.maybe", 400, "PGRST100"),
    ("/authors?id=in.1,2", 400, "PGRST100"),
    ("/authors?id=like.1", 404, "42883"),
    ("/authors?id=eq.99999999999999999999", 400, "22003"),
    ("/authors?name=match.(", 400, "2201B"),
    ("/authors?name=fts(nosuch).x", 400, "42704"),
    ("/authors?or=()", 400, "PGRST100"),
    ("/authors?or=" + "and(" * 100, 400, "PGRST100"),
    ("/authors?order=name.up", 400, "PGRST100"),
    ("/authors?order=nam", 400, "42703"),
    ("/authors?order=books(title)", 400, "PGRST108"),
    ("/authors?books.id=eq.1", 400, "PGRST108"),
    ("/authors?offset=-1", 400, "2201X"),
    ("/authors?name=eq.%00", 400, "22021"),
    ("/books?select=*,authors!author_id(*)&authors=eq.1", 400, "PGRST120"),
    ("/authors?select=*,books!author_id(*)&order=books(title)", 400, "PGRST118"),
    ("/authors?select=*,...books!author_id(*)", 400, "PGRST127"),
    ("/rpc/twice?a=3", 300, "PGRST203"),
    ("/rpc/note?what=x", 405, "25006"),
    ("/rpc/nosuch?what=x", 404, "PGRST202"),
    ("/nosuch", 404, "PGRST205"),
    ("/pg_class", 404, "PGRST205"),
    ("/public.authors", 404, "PGRST205"),
    ("/a/b/c", 404, "PGRST125"),
    ("/", 404, "PGRST126"),
]


async def test_what_cannot_be_is_refused_by_name(speak: Speak) -> None:
    client = speak(None)

    for path, status, code in REFUSALS:
        refused = await client.get(path)
        assert (refused.status_code, refused.json()["code"]) == (status, code), (path, refused.text)
        assert set(refused.json()) == {"code", "details", "hint", "message"}
        assert "SELECT" not in refused.text


STATUSES = [
    ("P0001", 400),
    ("23505", 409),
    ("42501", 403),
    ("25006", 405),
    ("40001", 500),
    ("53300", 503),
    ("57014", 500),
    ("PT402", 402),
    ("PT1XX", 500),
    ("22012", 400),
    ("XX000", 500),
]


async def test_an_sqlstate_becomes_a_status(speak: Speak, ann: UUID) -> None:
    client = speak(ann)

    for code, status in STATUSES:
        refused = await client.post("/rpc/fail", json={"code": code})
        assert refused.status_code == status, code
        told = {"code": code, "message": "as you like", "details": "a detail", "hint": "a hint"}
        assert refused.json() == told


async def test_a_stranger_is_asked_to_sign_in_and_a_user_is_not(speak: Speak, ann: UUID) -> None:
    stranger = await speak(None).get("/books")
    user = await speak(ann).delete("/agent_task_requests?kind=eq.echo")

    assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, "Bearer")
    assert (user.status_code, user.json()["code"]) == (403, "42501")


async def test_a_wrong_key_is_refused_in_the_same_form(gateway: str) -> None:
    async with httpx.AsyncClient() as client:
        refused = await client.get(f"{gateway}/rest/v1/authors", headers={"apikey": "sb_secret_wrong"})

    assert refused.status_code == 401
    assert set(refused.json()) == {"code", "details", "hint", "message"}


async def test_other_methods_are_refused(speak: Speak, ann: UUID) -> None:
    put, patch = await speak(ann).put("/books", json={}), await speak(ann).patch("/rpc/add", json={})

    assert (put.status_code, put.json()["code"]) == (405, "PGRST117")
    assert patch.status_code in {404, 405}


async def test_a_request_that_reads_cannot_write(speak: Speak, ann: UUID) -> None:
    client = speak(ann)

    refused = await client.get("/rpc/note", params={"what": "x"})
    who = (await client.post("/rpc/whoami", json={})).json()

    assert (refused.status_code, refused.json()["code"]) == (405, "25006")
    assert who["read_only"] == "on", "a stable function"


async def test_functions_see_the_request_and_no_credentials(speak: Speak, ann: UUID) -> None:
    got = await speak(ann).get("/rpc/whoami", headers={"X-Shop": "b", "cookie": "secret"})

    who = got.json()
    assert (who["method"], who["path"]) == ("GET", "/rest/v1/rpc/whoami")
    assert who["headers"]["x-shop"] == "b"
    assert not {"apikey", "authorization", "cookie"} & set(who["headers"])
    assert PUBLISHABLE not in got.text


@pytest.mark.parametrize(("who", "longest"), [(None, "3s"), ("ann", "8s"), ("service_role", "1min")])
async def test_statements_end_in_time_for_their_role(
    speak: Speak, ann: UUID, who: str | None, longest: str
) -> None:
    got = await speak(ann if who == "ann" else who).get("/rpc/whoami")

    assert got.json()["timeout"] == longest


async def test_a_slow_statement_is_cancelled(speak: Speak) -> None:
    refused = await speak(None).post("/rpc/slow", json={})

    assert (refused.status_code, refused.json()["code"]) == (500, "57014")


async def test_a_function_may_take_the_whole_body(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    body = {"a": [1, {"b": None}]}

    assert (await client.post("/rpc/echo", json=body)).json() == body
    assert (await client.post("/rpc/echo", json=[1, 2])).json() == [1, 2]
    assert (await client.post("/rpc/echo", json={"": None})).json() == {"": None}
    assert (await client.post("/rpc/said", json={"whole": body})).json() == body | {"n": 0}


async def test_the_schema_is_followed_without_a_restart(speak: Speak, ann: UUID, database_url: str) -> None:
    client = speak("service_role")
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE late (a text); GRANT ALL ON late TO service_role")
        assert (await client.post("/late", json={"a": "1"})).status_code == 201
        conn.execute("ALTER TABLE late ADD b integer")
        assert (await client.get("/late")).json() == [{"a": "1", "b": None}], "all columns, old catalog"
        conn.execute("ALTER TABLE late ALTER a TYPE integer USING a::integer")
        conn.execute("NOTIFY pgrst, 'reload schema'")
        refused = await client.get("/late", params={"a": "eq.x"})
        assert refused.status_code in {400, 404}


async def test_relations_can_be_absent_or_present(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    first, second = await fill(client, "a", "b")
    await client.post("/reviews", json={"book_id": first, "stars": 4})
    await client.post("/covers", json={"book_id": second, "color": "red"})

    async def titles(**params: str) -> list[str]:
        got = await client.get(
            "/books", params={"order": "title", **params}, headers={"prefer": "count=exact"}
        )
        assert got.headers["content-range"].endswith(f"/{len(got.json())}")
        return [book["title"] for book in got.json()]

    assert await titles(select="title,reviews()", reviews="is.null") == ["b"]
    assert await titles(select="title,reviews(stars)", reviews="not.is.null") == ["a"]
    assert await titles(select="title,covers()", covers="not.is.null") == ["b"]
    shown = await client.get("/books", params={"select": "title,covers(color)", "order": "covers(color)"})
    assert shown.json() == [
        {"title": "b", "covers": {"color": "red"}},
        {"title": "a", "covers": None},
    ], "a key that is unique makes one of many"


async def test_a_table_that_refers_to_itself_has_two_relations(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    (first,) = await fill(client, "first")
    await fill(client, "second", sequel_of=first)

    up = await client.get(
        "/books", params={"select": "title,sequel_of(title)", "title": "eq.second"}, headers=OBJECT
    )
    down = await client.get(
        "/books", params={"select": "title,books(title)", "title": "eq.first"}, headers=OBJECT
    )

    assert up.json() == {"title": "second", "sequel_of": {"title": "first"}}
    assert down.json() == {"title": "first", "books": [{"title": "second"}]}


async def test_a_write_shows_related_rows(speak: Speak, ann: UUID) -> None:
    client = speak(ann)
    author = await client.post("/authors", json={"name": "U"}, headers={**SHOWN, **OBJECT})

    made = await client.post(
        "/books",
        params={"select": "title,author:author_id(name)"},
        json={"title": "x", "author_id": author.json()["id"]},
        headers={**SHOWN, **OBJECT},
    )

    assert made.json() == {"title": "x", "author": {"name": "U"}}


async def test_identity_columns_take_their_default(speak: Speak, ann: UUID) -> None:
    made = await speak(ann).post(
        "/authors",
        params={"columns": "id,name"},
        json=[{"name": "a"}, {"id": 77, "name": "b"}],
        headers={"prefer": "return=representation,missing=default"},
    )

    assert made.status_code == 201, made.text
    assert max(author["id"] for author in made.json()) == 77


async def test_names_with_odd_characters_are_only_names(speak: Speak, ann: UUID) -> None:
    client, name = speak(ann), 'odd name, "quoted" 100%'
    await client.post("/books", json={"title": "x", name: "100% {odd} $1 %s"})

    got = await client.get(
        "/books",
        params={
            "select": r'a:"odd name, \"quoted\" 100%"',
            r'"odd name, \"quoted\" 100%"': "eq.100% {odd} $1 %s",
            "order": r'"odd name, \"quoted\" 100%".desc',
        },
    )

    assert got.json() == [{"a": "100% {odd} $1 %s"}], json.dumps(got.json())
