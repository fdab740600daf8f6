"""The page on pipelines lists what the code reads: no more, no less."""

from __future__ import annotations

import re

from agent_worker.pipelines.problems import Problems
from agent_worker.pipelines.reading.blocks import Draft
from agent_worker.pipelines.reading.document import read_definition
from agent_worker.pipelines.reading.fields import Fields
from agent_worker.pipelines.reading.nodes import MapNode
from agent_worker.pipelines.reading.policies import read_common
from agent_worker.pipelines.reading.scope import Scope
from agent_worker.pipelines.reading.source import Source
from agent_worker.pipelines.reading.steps import KINDS, read_steps
from tests.docs.pages import ROOT, rows

PAGE = ROOT / "docs" / "pipelines.md"
SCOPE = Scope(
    format="worker",
    variables={},
    resources={},
    types={},
    tools=(),
    skills=(),
    references=(),
    mcp_servers={},
    workers={},
    prompts=(),
    names=frozenset(),
)


def fields() -> Fields:
    return Fields(MapNode({}), (), Problems(lambda _: None))


def fields_of(kind: str) -> set[str]:
    """The fields that a kind's reader asks for, without those of every step."""
    asked, usual = fields(), fields()
    read, display = KINDS[kind]
    common = read_common("x", usual, display, SCOPE)
    read(Draft(asked, common, SCOPE, read_steps))
    return asked._asked - usual._asked


def names(cell: str) -> list[str]:
    """Names in code style that begin an item; what follows in brackets explains it."""
    return re.findall(r"`(\w[\w-]*)`", re.sub(r"\([^)]*\)", "", cell))


def test_the_page_lists_exactly_the_blocks_their_fields_and_what_is_shown_of_them() -> None:
    listed = {
        names(row[0])[0]: (set(names(row[1])), row[2].strip("`")) for row in rows(PAGE, heading="block")
    }
    assert listed == {kind: (fields_of(kind), display) for kind, (_, display) in KINDS.items()}


def test_the_page_lists_exactly_what_every_step_may_have() -> None:
    usual = fields()
    read_common("x", usual, "hidden", SCOPE)
    listed = {names(row[0])[0] for row in rows(PAGE, heading="field ◆")}
    assert listed == usual._asked - {"display", "description", "title"}


def test_the_page_lists_exactly_the_sections() -> None:
    document = fields()
    read_definition(Source(None, ""), document)
    listed = {name for row in rows(PAGE, heading="section") for name in names(row[0])}
    assert listed == document._asked
