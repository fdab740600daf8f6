"""The official Python client, unmodified."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from postgrest import APIError, CountMethod
from supabase import AsyncClient, AsyncClientOptions, acreate_client

from tests.gateway.door import PUBLISHABLE, token


@pytest.fixture
async def supabase(gateway: str, ann: UUID) -> AsyncIterator[AsyncClient]:
    async with httpx.AsyncClient() as http:
        options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False, persist_session=False)
        client = await acreate_client(gateway, PUBLISHABLE, options)
        client.postgrest.auth(token(ann))
        yield client


async def test_supabase_py_reads_and_writes(supabase: AsyncClient, ann: UUID) -> None:
    made = await supabase.table("books").insert({"title": "Ubik", "tags": ["a,b", 'c"d']}).execute()
    assert made.data[0]["owner"] == str(ann)
    several = [{"title": "Valis", "price": 3}, {"title": "Eye, in the sky", "price": 4}]
    assert len((await supabase.table("books").insert(several).execute()).data) == 2

    books = supabase.table("books").select("title", count=CountMethod.exact)
    page = await books.order("title").range(0, 1).execute()
    assert (page.data, page.count) == ([{"title": "Eye, in the sky"}, {"title": "Ubik"}], 3)
    quoted = await supabase.table("books").select("title").in_("title", ["Eye, in the sky", 'x"y']).execute()
    assert quoted.data == [{"title": "Eye, in the sky"}]
    tagged = await supabase.table("books").select("title").contains("tags", ["a,b", 'c"d']).execute()
    assert tagged.data == [{"title": "Ubik"}]
    either = (
        await supabase.table("books").select("title").or_("title.eq.Ubik,price.lt.4").order("title").execute()
    )
    assert [book["title"] for book in either.data] == ["Ubik", "Valis"]

    changed = await supabase.table("books").update({"price": 8}).eq("title", "Ubik").execute()
    assert changed.data[0]["price"] == 8
    upserted = await supabase.table("books").upsert({"id": made.data[0]["id"], "title": "Ubik!"}).execute()
    assert upserted.data[0]["title"] == "Ubik!"
    assert upserted.data[0]["price"] == 8
    with pytest.raises(APIError, match="exceeds max-affected"):
        await supabase.table("books").delete().gt("price", 0).max_affected(1).execute()
    deleted = await supabase.table("books").delete().gt("price", 0).execute()
    assert len(deleted.data) == 3


async def test_supabase_py_asks_for_one_row(supabase: AsyncClient) -> None:
    await supabase.table("books").insert([{"title": "Ubik"}, {"title": "Valis"}]).execute()

    one = await supabase.table("books").select("title").eq("title", "Ubik").single().execute()
    none = await supabase.table("books").select("title").eq("title", "x").maybe_single().execute()

    assert one.data == {"title": "Ubik"}
    assert none is None
    with pytest.raises(APIError) as caught:
        await supabase.table("books").select("title").single().execute()
    assert (caught.value.code, caught.value.details) == ("PGRST116", "The result contains 2 rows")


async def test_supabase_py_calls_functions(supabase: AsyncClient) -> None:
    assert (await supabase.rpc("add", {"a": 1, "b": 2}).execute()).data == 3
    assert (await supabase.rpc("add", {"a": 1, "b": 2}, get=True).execute()).data == 3
    assert (await supabase.rpc("total", {"n": [1, 2, 3]}, get=True).execute()).data == 6
    assert (await supabase.rpc("primes", {"upto": 5}).execute()).data == [2, 3, 5]
    assert (await supabase.rpc("said", {"whole": {"a": [1]}, "n": 2}, get=True).execute()).data == {
        "a": [1],
        "n": 2,
    }
    assert (await supabase.rpc("note", {"what": "x"}).execute()).data == []
    rows = await supabase.rpc("my_books").select("title").eq("title", "none").execute()
    assert rows.data == []


async def test_nulls_are_stripped_when_asked(supabase: AsyncClient) -> None:
    await supabase.table("books").insert({"title": "Ubik", "code": None}).execute()

    stripped = await supabase.table("books").select("title,code").strip_nulls().execute()

    assert stripped.data == [{"title": "Ubik"}]
