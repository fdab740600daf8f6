"""Stored definitions: which version a run takes, and that it keeps it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator

from agent_worker.db.connection import Database
from agent_worker.db.definitions import Definitions
from agent_worker.domain.definitions import StoredDefinition, UnknownDefinition
from agent_worker.domain.errors import InvalidPayload, ProcessorError
from agent_worker.domain.events import visible_events
from agent_worker.domain.json import JsonObject
from agent_worker.domain.replay import Parked
from agent_worker.pipelines.library import MOST_WORKERS, Library
from agent_worker.processors.pipeline import Pipeline, PipelineSettings
from agent_worker.testing.context import FakeContext, make_definition, make_task
from tests.pipelines.running import check_leg
from tests.pipelines.test_durably import as_events
from tests.worker.conftest import Rows, StartWorker

ASKS = """
steps:
  Ask:
    block: human-approval
    prompt: {prompt}
{more}
"""
CALLS = """
variables:
  FOUND: {{type: unknown}}
workers:
  {slug}: {{description: Another}}
steps:
  Ask:
    block: human-approval
    prompt: ask
  Call:
    block: run-worker
    worker: {slug}
    output: FOUND
output: FOUND
"""
SAYS = """
variables:
  SAID: {{type: unknown}}
steps:
  Say:
    block: set-variable
    variable: SAID
    value: {text}
output: SAID
"""


def content(protocol: str, slug: str = "a", **settings: str) -> JsonObject:
    return {
        "settings": {"slug": slug, "name": slug, "format": "worker", **settings},
        "protocol": protocol,
        "prompts": [{"name": "ask", "content": "Go on?"}],
    }


def says(text: str, slug: str = "a") -> JsonObject:
    return content(SAYS.format(text=text), slug)


def calls(slug: str, own: str = "outer") -> JsonObject:
    return content(CALLS.format(slug=slug), own)


def stored(*contents: tuple[str, JsonObject]) -> tuple[StoredDefinition, ...]:
    """Definitions in the order of their versions."""
    versions: dict[str, int] = {}
    found = []
    for slug, body in contents:
        versions[slug] = versions.get(slug, 0) + 1
        found.append(make_definition(slug, body, version=versions[slug]))
    return tuple(found)


async def process(ctx: FakeContext, pipeline: Pipeline | None = None) -> JsonObject:
    return await (pipeline or Pipeline(PipelineSettings())).process(ctx.task, ctx)


def context(payload: JsonObject, *definitions: StoredDefinition) -> FakeContext:
    return FakeContext(make_task(payload, kind="pipeline"), definitions=definitions)


async def test_the_newest_version_runs_unless_the_request_names_one() -> None:
    both = stored(("a", says("one")), ("a", says("two")))
    assert (await process(context({"agent": "a"}, *both)))["output"] == "two"
    assert (await process(context({"agent": "a", "version": 1}, *both)))["output"] == "one"
    assert (await process(context({"agent": str(both[0].id)}, *both)))["output"] == "two"


async def test_a_run_keeps_the_versions_it_began_with_also_of_workers_that_workers_call() -> None:
    before = stored(("outer", calls("middle")), ("middle", calls("inner", "middle")), ("inner", says("old")))
    after = stored(
        *(("outer", body) for body in (calls("middle"), says("other"))),
        *(("middle", body) for body in (calls("inner", "middle"), says("other"))),
        *(("inner", body) for body in (says("old"), says("new"))),
    )
    ctx = context({"agent": "outer"}, *before)
    for _ in range(2):
        with pytest.raises(Parked) as parked:
            await process(ctx)
        ctx = ctx.again(definitions=after, human={parked.value.question.key: {"approved": True}})
    assert (await process(ctx))["output"] == "old"
    fresh = context({"agent": "outer"}, *after)
    assert (await process(fresh))["output"] == "other"


def parked_key(ctx: FakeContext) -> str:
    return ctx.questions[0].key


async def test_a_worker_that_comes_with_the_request_goes_before_a_stored_one() -> None:
    ctx = FakeContext(
        make_task({"definition": calls("inner"), "workers": {"inner": says("brought")}}, kind="pipeline"),
        definitions=stored(("inner", says("stored"))),
    )
    with pytest.raises(Parked):
        await process(ctx)
    again = ctx.again(human={parked_key(ctx): {"approved": True}})
    assert (await process(again))["output"] == "brought"


async def test_a_definition_from_the_request_calls_stored_workers() -> None:
    ctx = context({"definition": calls("inner")}, *stored(("inner", says("stored"))))
    with pytest.raises(Parked):
        await process(ctx)
    again = ctx.again(human={parked_key(ctx): {"approved": True}})
    assert (await process(again))["output"] == "stored"


async def test_a_worker_that_nobody_stored_fails_the_step_that_calls_it() -> None:
    ctx = context({"agent": "outer"}, *stored(("outer", calls("nobody"))))
    with pytest.raises(Parked):
        await process(ctx)
    late = stored(("outer", calls("nobody")), ("nobody", says("too late")))
    again = ctx.again(definitions=late, human={parked_key(ctx): {"approved": True}})
    with pytest.raises(ProcessorError, match="There is no worker 'nobody'") as failed:
        await process(again)
    assert (failed.value.code, failed.value.retryable) == ("unknown_worker", False)


async def test_workers_that_call_each_other_are_found_once_and_their_number_is_bounded() -> None:
    ring = stored(("x", calls("y", "x")), ("y", calls("x", "y")))
    with pytest.raises(Parked):
        await process(context({"agent": "x"}, *ring))
    chain = stored(*((f"w-{n}", calls(f"w-{n + 1}", f"w-{n}")) for n in range(MOST_WORKERS + 3)))
    with pytest.raises(InvalidPayload, match="more than 20 workers"):
        await process(context({"agent": "w-0"}, *chain))
    with pytest.raises(Parked):
        await process(context({"agent": "w-2"}, *chain))


async def test_what_is_not_stored_is_told_and_not_tried_again() -> None:
    wrong: tuple[JsonObject, ...] = ({"agent": "a"}, {"agent": "b", "version": 2}, {"agent": str(uuid4())})
    for payload in wrong:
        with pytest.raises(UnknownDefinition) as failed:
            await process(context(payload, *stored(("b", says("x")))))
        assert (failed.value.code, failed.value.retryable) == ("unknown_definition", False)


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({}, "$"),
        ({"agent": "a", "definition": {}}, "$"),
        ({"agent": 1}, "$.agent"),
        ({"agent": ""}, "$.agent"),
        ({"agent": "a", "version": "1"}, "$.version"),
        ({"agent": "a", "version": True}, "$.version"),
        ({"agent": "a", "version": 1.5}, "$.version"),
        ({"definition": {}, "version": 1}, "$.version"),
        ({"agent": "a", "workers": []}, "$.workers"),
        ({"agent": "a", "input": []}, "$.input"),
        ({"agent": "broken"}, "$.agent"),
        ({"agent": "chat"}, "$.trigger"),
        ({"agent": "a", "trigger": "go"}, "$.trigger"),
    ],
)
async def test_a_wrong_request_names_the_place(payload: dict[str, Any], path: str) -> None:
    interactive = content(
        "triggers: {go: {}}\nhandlers: {go: {}}\nagent: {model: echo/echo, system: ask}\n",
        "chat",
        format="interactive",
    )
    known = stored(("a", says("x")), ("broken", content("steps: 7")), ("chat", interactive))
    with pytest.raises(InvalidPayload) as refused:
        await process(context(payload, *known))
    assert refused.value.path == path


async def test_a_version_is_read_once_by_one_process() -> None:
    library = Library(most=2)
    three = stored(("a", says("one")), ("a", says("two")), ("b", says("three", "b")))
    ctx = context({}, *three)
    first = (await library.load(ctx, ("a", 1), {})).definition
    assert (await library.load(ctx, ("a", 1), {})).definition is first
    assert (await library.load(ctx, (str(three[0].id), 1), {})).definition is first
    await library.load(ctx, ("a", None), {})
    await library.load(ctx, ("b", None), {})
    assert (await library.load(ctx, ("a", 1), {})).definition is not first, "two others came since"


async def test_many_runs_that_start_at_once_wait_for_one_reading() -> None:
    library = Library()
    ctx = context({}, *stored(("a", says("one"))))
    loaded = await asyncio.gather(*(library.load(ctx, ("a", None), {}) for _ in range(50)))
    assert len({id(each.definition) for each in loaded}) == 1


@pytest.mark.parametrize(
    ("payload", "fits"),
    [
        ({"agent": "a", "version": 3, "input": {"TOPIC": "sea"}}, True),
        ({"definition": {}, "workers": {}}, True),
        ({}, False),
        ({"agent": "a", "definition": {}}, False),
        ({"agent": "a", "version": 0}, False),
        ({"agent": ""}, False),
        ({"agent": "a", "input": []}, False),
    ],
)
def test_the_schema_that_forms_are_made_of_says_what_the_processor_takes(
    payload: JsonObject, fits: bool
) -> None:
    assert Draft202012Validator(Pipeline.payload_schema).is_valid(payload) is fits


@pytest.mark.parametrize("way", ["postgres", "http"], indirect=True)
async def test_a_task_runs_a_stored_definition_over_either_way(
    start_worker: StartWorker, rows: Rows, db: Database
) -> None:
    definitions = Definitions(db, "pipeline")
    await definitions.push("outer", calls("inner"))
    await definitions.push("inner", says("old", "inner"))
    async with start_worker(Pipeline(PipelineSettings())):
        task_id = await rows.insert("pipeline", {"agent": "outer"})
        await rows.reaches(task_id, "waiting")
        await definitions.push("inner", says("new", "inner"))
        await definitions.archive("outer")
        await rows.answer(task_id, {"approved": True})
        task = await rows.reaches(task_id, "completed")
        gone = await rows.insert("pipeline", {"agent": "outer"})
        failed = await rows.reaches(gone, "failed")
    assert task["response_payload"]["output"] == "old"
    check_leg(
        [
            event
            for event in as_events(visible_events(await rows.events(task_id)))
            if event.type != "start" or event.data.get("step")
        ]
    )
    assert (failed["response_payload"]["code"], failed["attempt"]) == ("unknown_definition", 1)
    pins = await db.fetch_value(
        "SELECT value FROM agent_worker.checkpoints WHERE task_id = %(id)s AND key = 'run:start'",
        {"id": task_id},
    )
    assert pins["agent"]["version"] == pins["workers"]["inner"]["version"] == 1
