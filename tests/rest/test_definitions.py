"""Definitions over HTTP are those over a PostgreSQL connection."""

from __future__ import annotations

import pytest

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.db.rest import Rest
from agent_worker.domain.client_errors import DefinitionRefused
from agent_worker.domain.json import JsonObject

AWKWARD: JsonObject = {
    "settings": {"name": "ä😀"},
    "protocol": "a: \"'\n",
    "large": 2**53 + 1,
    "none": None,
    "half": 0.1,
}


async def test_what_one_way_pushes_the_other_finds_the_same(db: Database, rest: Rest) -> None:
    here, there = Definitions(db, "pipeline"), Definitions(rest, "pipeline")
    first = await there.push("a", AWKWARD)
    assert await here.push("a", AWKWARD) == type(first)(id=first.id, slug="a", version=1, is_new=False)
    await here.push("a", {"protocol": "two"})
    for reference, version in (
        ("a", None),
        ("a", 1),
        (str(first.id), 2),
        ("b", None),
        ("a", 3),
        ("a", 2**40),
    ):
        found = await there.find(reference, version)
        assert found == await here.find(reference, version)
        assert repr(found) == repr(await here.find(reference, version)), "equal values of equal types"
    assert await there.heads() == await here.heads() != []
    assert await there.versions("a") == await here.versions("a") != []
    assert await there.archive("a")
    assert not await here.archive("a")
    assert await there.find("a") is None


async def test_a_broken_rule_reads_the_same(db: Database, rest: Rest) -> None:
    refusals = []
    for transport in (db, rest):
        with pytest.raises(DefinitionRefused) as refused:
            await Definitions(transport, "pipeline").push("No Slug", {})
        refusals.append(str(refused.value))
    assert refusals == ["slug must be at most 128 lower-case letters, digits and dashes"] * 2
