"""FakeContext behaves towards a processor as the engine's context does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_worker.domain.chat import ChatModel
from agent_worker.domain.errors import LeaseLost, ProcessorError, Unstorable
from agent_worker.domain.events import Event
from agent_worker.domain.json import JsonObject
from agent_worker.domain.processor import TaskContext
from agent_worker.domain.replay import Call, KeyReused, Parked
from agent_worker.domain.task import Resume
from agent_worker.llm.echo import EchoChat
from agent_worker.testing.context import FakeContext, make_task

if TYPE_CHECKING:
    _: TaskContext = FakeContext()  # mypy: it is one


async def test_what_is_emitted_is_recorded_in_order() -> None:
    ctx = FakeContext()
    await ctx.emit(Event("seat-reserved", {"seat": 3}))
    await ctx.emit_text("hel")
    await ctx.emit_text("")
    await ctx.emit_text("lo")
    await ctx.progress(50, "half")

    assert ctx.events == [Event("seat-reserved", {"seat": 3})]
    assert (ctx.deltas, ctx.text) == (["hel", "lo"], "hello")
    assert ctx.notes == [(50, "half")]


async def test_an_event_without_a_json_form_fails_where_it_is_emitted() -> None:
    with pytest.raises(ValueError, match="float"):
        await FakeContext().emit(Event("measured", {"value": float("nan")}))


async def test_a_step_runs_once_in_the_life_of_the_task() -> None:
    runs: list[int] = []

    async def charge() -> list[int]:
        runs.append(1)
        await ctx.emit(Event("charged", {}))
        return [len(runs)]

    ctx = FakeContext()
    first = await ctx.step("charge", charge)
    later = await ctx.again(resume=Resume.RETRY).step("charge", charge)

    assert first == later == [1]
    assert ctx.events == [Event("charged", {"step": "charge"})]


async def test_a_step_whose_result_has_no_json_form_fails_as_it_does_on_a_worker() -> None:
    async def measure() -> float:
        return float("nan")

    ctx = FakeContext()
    with pytest.raises(Unstorable, match="the result of 'measure'"):
        await ctx.step("measure", measure)
    with pytest.raises(Unstorable, match="the result of 'note'"):
        await ctx.checkpoint.put("note", float("inf"))


async def test_a_step_returns_what_json_brings_back() -> None:
    async def point() -> tuple[int, int]:
        return (1, 2)

    assert await FakeContext().step("point", point) == [1, 2]  # type: ignore[comparison-overlap]


async def test_a_step_that_fails_runs_again() -> None:
    async def fail() -> None:
        raise ProcessorError("not yet")

    async def succeed() -> str:
        return "done"

    ctx = FakeContext()
    with pytest.raises(ProcessorError):
        await ctx.step("x", fail)
    assert await ctx.again().step("x", succeed) == "done"


async def test_notes_survive_into_the_next_attempt() -> None:
    ctx = FakeContext()
    assert await ctx.checkpoint.get("page", 1) == 1
    await ctx.checkpoint.put("page", 7)

    assert await ctx.again().checkpoint.get("page") == 7


async def test_one_key_cannot_mean_two_things() -> None:
    ctx = FakeContext(human={"x": {"approved": True}})
    await ctx.checkpoint.put("x", 1)

    with pytest.raises(KeyReused):
        await ctx.ask_human("x", "Publish?")


async def test_a_question_parks_and_the_next_attempt_gets_the_answer() -> None:
    ctx = FakeContext()
    with pytest.raises(Parked) as parked:
        await ctx.ask_human("publish", "Publish?", priority="high", timeout_s=60)

    assert parked.value.question == ctx.questions[0]
    assert (ctx.questions[0].call, ctx.questions[0].timeout_s) == (Call.HUMAN, 60)
    assert ctx.questions[0].fields["priority"] == "high"

    answered = ctx.again(human={"publish": {"approved": True}})
    assert answered.resume is Resume.ANSWERED
    assert answered.task.attempt == 2
    assert await answered.ask_human("publish", "Publish?") == {"approved": True}


async def test_client_tools_are_answered_by_key() -> None:
    calls: list[JsonObject] = [{"toolCallId": "c1", "toolName": "locate", "args": {}}]
    results: list[JsonObject] = [{"toolCallId": "c1", "result": "Jena"}]

    with pytest.raises(Parked):
        await FakeContext().ask_client("where", calls)
    assert await FakeContext(client={"where": results}).ask_client("where", calls) == results


async def test_scripted_errors_are_raised() -> None:
    late = ProcessorError("Nobody answered.", code="human_timeout", retryable=False)
    with pytest.raises(ProcessorError, match="Nobody answered"):
        await FakeContext(human={"publish": late}).ask_human("publish", "Publish?")


async def test_children_are_spawned_once_and_answer_by_key_or_kind() -> None:
    ctx = FakeContext(children={"shout": {"answer": "HI"}})
    child = await ctx.spawn("shout", {"prompt": "hi"})
    other = await ctx.spawn("count", {"to": 3}, key="counting")

    assert await ctx.wait(child) == {"answer": "HI"}
    with pytest.raises(Parked):
        await ctx.wait(other)

    later = ctx.again(children={"counting": {"answer": 3}})
    assert await later.spawn("shout", {"prompt": "hi"}) == child
    assert await later.spawn("count", {"to": 3}, key="counting") == other
    assert [spawned.kind for spawned in later.spawned] == ["shout", "count"]
    assert await later.wait(other) == {"answer": 3}


async def test_losing_the_lease_stops_every_write() -> None:
    ctx = FakeContext()
    ctx.lose_lease()

    assert ctx.cancelled
    with pytest.raises(LeaseLost):
        await ctx.emit_text("too late")
    with pytest.raises(LeaseLost):
        await ctx.checkpoint.put("page", 1)


def test_cancel_is_seen() -> None:
    ctx = FakeContext()
    assert not ctx.cancelled
    ctx.cancel()
    assert ctx.cancelled


def test_models_are_found_by_the_given_function() -> None:
    asked: list[str | None] = []

    def find(name: str | None) -> ChatModel:
        asked.append(name)
        return EchoChat()

    FakeContext(models=find).model("openai/x")
    assert asked == ["openai/x"]
    assert FakeContext().model().id == "echo/echo"


def test_the_task_is_the_attempts_own() -> None:
    task = make_task({"prompt": "hi"}, kind="chat", attempt=2)
    ctx = FakeContext(task)

    assert ctx.idempotency_key("charge") == f"{task.id}:charge"
    assert (task.attempts_left, ctx.resume) == (1, Resume.FRESH)
