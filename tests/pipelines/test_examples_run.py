"""The examples do what their first lines say, with the echo model in the place of a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_worker.domain.json import JsonObject
from agent_worker.domain.replay import Parked
from agent_worker.pipelines.definition.document import Definition
from agent_worker.pipelines.reading.folder import read_folder
from agent_worker.pipelines.validation import load
from agent_worker.testing.context import FakeContext
from tests.pipelines.running import check_leg, run

EXAMPLES = Path(__file__).parents[2] / "examples" / "pipelines"


def example(name: str) -> Definition:
    return load(read_folder(EXAMPLES / name))


async def test_each_text_is_translated_by_itself_and_the_order_is_kept() -> None:
    texts = [f"text {number}" for number in range(9)]
    result, ctx = await run(example("translate-each"), {"TEXTS": texts, "LANGUAGE": "Latin"})
    assert isinstance(result.output, list)
    assert [text in str(said) for text, said in zip(texts, result.output, strict=True)] == [True] * 9
    assert result.used.calls == 9
    check_leg(ctx.events)


async def test_a_reply_is_drafted_until_a_person_approves() -> None:
    source = example("approve-reply")
    ctx, answers = FakeContext(), dict[str, JsonObject]()
    for number, response in enumerate(({"approved": False, "remarks": "Warmer."}, {"approved": True})):
        with pytest.raises(Parked) as parked:
            await run(source, {"LETTER": "I am cross.", "KIND": "complaint"}, ctx=ctx)
        assert parked.value.question.key.endswith(f"@{number}")
        assert "I am cross." in str(parked.value.question.fields["description"])
        answers[parked.value.question.key] = response
        ctx = ctx.again(human=answers)
    result, _ = await run(source, {"LETTER": "I am cross.", "KIND": "complaint"}, ctx=ctx)
    assert "Warmer." in str(result.output), "the second draft was asked for with the remarks"
    assert result.used.calls == 3


async def test_the_search_is_asked_of_the_client() -> None:
    with pytest.raises(Parked) as parked:
        await run(example("research"), {"TOPIC": "tides"}, ctx=FakeContext())
    (call,) = parked.value.question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
    assert call["args"] == {"query": "tides", "limit": 5}


async def test_a_report_is_searched_read_noted_agreed_on_written_and_filed() -> None:
    source, given = example("research-report"), {"TOPIC": "tides"}
    ctx = FakeContext()
    with pytest.raises(Parked) as parked:
        await run(source, given, ctx=ctx)
    (call,) = parked.value.question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
    assert call["args"] == {"query": "tides", "limit": 5}
    hits = [{"title": str(n), "address": "", "text": f"page {n}"} for n in range(2)]
    results = [{"toolCallId": call["toolCallId"], "result": hits}]
    ctx = ctx.again(client={parked.value.question.key: results})
    with pytest.raises(Parked) as parked:
        await run(source, given, ctx=ctx)
    assert "page 1" in str(parked.value.question.fields["description"]), "the notes are of the pages"
    ctx = ctx.again(human={parked.value.question.key: {"approved": True}})
    with pytest.raises(Parked) as parked:
        await run(source, given, ctx=ctx)
    (call,) = parked.value.question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
    assert (call["toolName"], call["args"]["title"]) == ("file-report", "tides")
    results = [{"toolCallId": call["toolCallId"], "result": "filed"}]
    ctx = ctx.again(client={parked.value.question.key: results})
    result, _ = await run(source, given, ctx=ctx)
    assert "page 1" in str(result.output)
    assert result.used.calls == 4


async def test_a_report_whose_notes_nobody_approves_is_not_written() -> None:
    source, given = example("research-report"), {"TOPIC": "tides"}
    ctx = FakeContext()
    with pytest.raises(Parked) as parked:
        await run(source, given, ctx=ctx)
    (call,) = parked.value.question.fields["context"]["toolCalls"]  # type: ignore[index,call-overload]
    found_nothing = [{"toolCallId": call["toolCallId"], "result": []}]
    ctx = ctx.again(client={parked.value.question.key: found_nothing})
    with pytest.raises(Parked) as parked:
        await run(source, given, ctx=ctx)
    ctx = ctx.again(human={parked.value.question.key: {"approved": False}})
    result, _ = await run(source, given, ctx=ctx)
    assert result.output is None
