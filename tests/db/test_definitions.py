"""Definitions by version: what a push makes, what is found, and who may see them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from agent_worker.db.connection import Database
from agent_worker.db.definitions import MAX_VERSION, Definitions
from agent_worker.domain.client_errors import DefinitionRefused
from agent_worker.domain.json import JsonObject
from tests.db.steps import acting_as, run, user, value
from tests.db.test_plans import Explained, indexes, nodes

TABLES = ["definitions", "definition_versions"]


def content(text: str, **settings: str) -> JsonObject:
    return {"settings": {"slug": "a", "name": "A", "format": "worker", **settings}, "protocol": text}


@pytest.fixture
def definitions(db: Database) -> Definitions:
    return Definitions(db, "pipeline")


async def test_each_new_content_is_the_next_version_and_all_versions_stay(definitions: Definitions) -> None:
    first = await definitions.push("a", content("one"))
    second = await definitions.push("a", content("two"))
    assert (first.version, second.version) == (1, 2)
    assert (first.id, first.is_new, second.is_new) == (second.id, True, True)

    newest = await definitions.find("a")
    assert newest is not None
    assert (newest.id, newest.slug, newest.version, newest.content) == (first.id, "a", 2, content("two"))
    assert newest.created_at < newest.updated_at, "the first push, and the one of this version"
    oldest = await definitions.find("a", 1)
    assert oldest is not None
    assert oldest.content == content("one")
    assert [version for version, _ in await definitions.versions("a")] == [2, 1]


async def test_the_same_content_again_makes_no_new_version_whatever_its_order(
    definitions: Definitions,
) -> None:
    await definitions.push("a", {"x": 1, "y": [1, 2]})
    again = await definitions.push("a", {"y": [1, 2], "x": 1})
    assert (again.version, again.is_new) == (1, False)
    await definitions.push("a", {"x": 2})
    back = await definitions.push("a", {"x": 1, "y": [1, 2]})
    assert (back.version, back.is_new) == (3, True), "to go back is a version as well"


async def test_a_definition_is_found_by_its_id_as_well(definitions: Definitions) -> None:
    pushed = await definitions.push("a", content("one"))
    for reference in (str(pushed.id), str(pushed.id).upper()):
        found = await definitions.find(reference)
        assert found is not None
        assert found.id == pushed.id


@pytest.mark.parametrize("reference", ["b", "A", "", "a ", "a\x00", "\ud800", "%", "'", "x" * 10_000])
async def test_what_is_no_reference_finds_nothing(definitions: Definitions, reference: str) -> None:
    await definitions.push("a", content("one"))
    assert await definitions.find(reference) is None
    assert await definitions.versions(reference) == []
    assert not await definitions.archive(reference)


@pytest.mark.parametrize("version", [0, -1, 2, MAX_VERSION, MAX_VERSION + 1, 10**30])
async def test_a_version_that_is_not_there_is_not_found(definitions: Definitions, version: int) -> None:
    await definitions.push("a", content("one"))
    assert await definitions.find("a", version) is None
    assert await definitions.find(str(uuid4()), version) is None


async def test_kinds_have_their_own_slugs(definitions: Definitions, db: Database) -> None:
    others = Definitions(db, "function")
    ours = await definitions.push("a", content("one"))
    await others.push("a", content("theirs"))
    assert await others.find(str(ours.id)) is None
    assert [head.slug for head in await others.heads()] == ["a"]
    assert await others.archive("a")
    assert await definitions.find("a") is not None


async def test_the_list_tells_what_the_newest_content_says_of_itself(definitions: Definitions) -> None:
    await definitions.push("b", content("one", name="Old"))
    await definitions.push("b", content("one", name="New", description="Does it."))
    await definitions.push("a", {"protocol": "", "settings": "no object"})
    bare, full = await definitions.heads()
    assert (bare.slug, bare.version, bare.name, bare.description, bare.format) == ("a", 1, None, None, None)
    assert (full.slug, full.version, full.name) == ("b", 2, "New")
    assert (full.description, full.format) == ("Does it.", "worker")
    assert full.created_at < full.updated_at


async def test_an_archived_definition_is_found_by_its_version_until_it_is_pushed_again(
    definitions: Definitions,
) -> None:
    pushed = await definitions.push("a", content("one"))
    assert await definitions.archive("a")
    assert not await definitions.archive("a"), "nothing is left in use"
    assert await definitions.find("a") is None
    assert await definitions.heads() == []
    pinned = await definitions.find(str(pushed.id), 1)
    assert pinned is not None

    again = await definitions.push("a", content("one"))
    assert (again.id, again.version, again.is_new) == (pushed.id, 1, False)
    assert await definitions.find("a") is not None


@pytest.mark.parametrize(
    ("slug", "rule"),
    [
        ("A", "slug must be at most 128 lower-case letters, digits and dashes"),
        ("", "slug must be"),
        ("a b", "slug must be"),
        ("a\n", "slug must be"),
        ("é", "slug must be"),
        ("x" * 129, "slug must be"),
        ("00000000-0000-0000-0000-00000000000a", "slug must not look like an id"),
        ("a\x00", "slug holds a NUL"),
    ],
)
async def test_what_is_no_slug_is_refused_with_the_rule(
    definitions: Definitions, slug: str, rule: str
) -> None:
    with pytest.raises(DefinitionRefused) as refused:
        await definitions.push(slug, content("one"))
    assert str(refused.value).startswith(rule)


async def test_content_that_cannot_be_stored_is_refused(definitions: Definitions) -> None:
    with pytest.raises(DefinitionRefused, match=r"content\.protocol holds a NUL"):
        await definitions.push("a", content("\x00"))
    with pytest.raises(DefinitionRefused, match="content must take at most 40 MiB"):
        await definitions.push("a", content("x" * (41 << 20)))
    assert await definitions.heads() == []


async def test_pushes_at_once_make_one_version_each_and_none_twice(definitions: Definitions) -> None:
    pushed = await asyncio.gather(*(definitions.push("a", content(str(n % 5))) for n in range(20)))
    versions = [version for version, _ in await definitions.versions("a")]
    assert versions == list(range(len(versions), 0, -1)), "no number is left out"
    assert sorted(each.version for each in pushed if each.is_new) == versions[::-1]
    assert len({each.id for each in pushed}) == 1


async def test_finding_one_among_thousands_goes_by_index(definitions: Definitions, db: Database) -> None:
    await run(
        db,
        "INSERT INTO agent_worker.definitions (kind, slug, version)"
        " SELECT 'pipeline', 'a-' || n, 1 FROM generate_series(1, 20000) n",
    )
    await run(db, "ANALYZE agent_worker.definitions")
    explained = Explained(db.conninfo)
    with contextlib.closing(explained.conn):
        for reference in ("a-7", str(uuid4())):
            plans = explained.run(
                "SELECT agent_worker.find_definition('pipeline', %(ref)s, NULL)", ref=reference
            )
            assert not [node for node in nodes(plans) if node["Node Type"] == "Seq Scan"]
            assert "definitions_kind_slug_key" in indexes(plans)


# Rights


@pytest.fixture
async def pushed(definitions: Definitions) -> UUID:
    return (await definitions.push("secret", content("private"))).id


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize("table", TABLES)
async def test_neither_visitors_nor_users_read_definitions(
    db: Database, pushed: UUID, role: str, table: str
) -> None:
    async with acting_as(db, role, user(uuid4()) if role == "authenticated" else None) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(f"SELECT * FROM agent_worker.{table}".encode())


@pytest.mark.parametrize("role", ["anon", "authenticated"])
@pytest.mark.parametrize(
    "call",
    [
        "agent_worker.find_definition('pipeline', 'secret', NULL)",
        "agent_worker.list_definitions('pipeline')",
        "agent_worker.push_definition('pipeline', 'mine', '{}')",
        "agent_worker.archive_definition('pipeline', 'secret')",
        "agent_worker.definition_id('pipeline', 'secret')",
        "public.agent_worker_find_definition('pipeline', 'secret', NULL)",
        "public.agent_worker_list_definitions('pipeline')",
        "public.agent_worker_list_versions('pipeline', 'secret')",
        "public.agent_worker_push_definition('pipeline', 'mine', '{}')",
        "public.agent_worker_archive_definition('pipeline', 'secret')",
    ],
)
async def test_neither_visitors_nor_users_may_call_what_is_for_workers(
    db: Database, pushed: UUID, role: str, call: str
) -> None:
    async with acting_as(db, role, user(uuid4()) if role == "authenticated" else None) as conn:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await conn.execute(f"SELECT {call}".encode())


async def test_the_service_role_may_do_all_of_it(db: Database, pushed: UUID) -> None:
    async with acting_as(db, "service_role") as conn:
        await conn.execute("SELECT public.agent_worker_push_definition('pipeline', 'secret', '{\"x\": 1}')")
        cursor = await conn.execute(
            "SELECT public.agent_worker_find_definition('pipeline', 'secret', NULL) -> 0 ->> 'version'"
        )
        assert await cursor.fetchone() == ("2",)
        for table in TABLES:
            await conn.execute(f"SELECT * FROM agent_worker.{table}".encode())


async def test_a_user_runs_a_definition_that_it_cannot_read(db: Database, pushed: UUID) -> None:
    me = uuid4()
    async with acting_as(db, "authenticated", user(me)) as conn:
        payload: dict[str, Any] = {"agent": "secret", "input": {}}
        await conn.execute(
            "INSERT INTO public.agent_task_requests (kind, request_payload) VALUES ('pipeline', %s)",
            [Jsonb(payload)],
        )
    assert await value(db, "SELECT user_id FROM public.agent_task_requests") == me
