"""What a client of the protocol hears of a run, made by hand here, so that every way to end is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from agent_worker.domain.json import JsonObject
from agent_worker.domain.records import TaskResult
from agent_worker.domain.task import TaskStatus
from agent_worker.pipelines.telling.legs import Audience, Legs
from tests.pipelines.running import hear, stored

ID = str(uuid4())
Row = tuple[str, JsonObject]

BEGIN: list[Row] = [
    ("attempt-start", {"attempt": 1, "resume": "fresh", "keep": []}),
    ("start", {"messageId": "m", "executionId": ID, "step": "run:start"}),
    ("worker-start", {"workerId": ID, "workerSlug": "w", "step": "run:start"}),
]
FINISH: Row = ("finish", {"finishReason": "stop", "executionId": ID})
USAGE: Row = (
    "usage",
    {
        "cost": {"currency": "USD", "bandwidthFee": 0, "providerFee": 0, "totalFee": 0, "byok": True},
        "tokens": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    },
)
RESULT: Row = ("worker-result", {"workerId": ID, "output": "done"})
ERROR: Row = (
    "error",
    {
        "errorType": "execution_error",
        "message": "It broke.",
        "retryable": False,
        "source": "platform",
        "code": "x",
    },
)
CALL = {"toolCallId": "b2:1", "toolName": "look-up", "args": {"what": "sea"}}


def again(*keep: str, resume: str = "rescued") -> list[Row]:
    return [
        ("attempt-start", {"attempt": 2, "resume": resume, "keep": list(keep)}),
        ("start", {"messageId": "m", "executionId": ID}),
    ]


def block(name: str, *, step: str | None = None) -> Row:
    fields = {"blockId": name, "blockName": name, "blockType": "next-message", "display": "stream"}
    return "block-start", {**fields, "workerId": ID, "step": step or f"block:{name}"}


def end(name: str) -> Row:
    return "block-end", {"blockId": name, "workerId": ID, "step": f"block:{name}"}


def text(part: str, text_id: str, step: str, **fields: str) -> Row:
    return f"text-{part}", {"id": text_id, **fields, "workerId": ID, "step": step}


def said(heard: list[list[dict[str, Any]]]) -> list[list[str]]:
    return [[event["type"] for event in leg] for leg in heard]


def test_what_only_the_engine_reads_is_left_out_and_so_are_steps() -> None:
    rows = [
        *BEGIN,
        block("b1"),
        ("step-retry", {"blockId": "b1", "attempt": 1, "step": "block:b1"}),
        ("seat-reserved", {"seat": 4}),
        ("block-end", {**end("b1")[1], "error": "It broke.", "usage": {"inputTokens": 1}}),
        RESULT,
        FINISH,
        USAGE,
    ]
    (leg,) = hear(stored(*rows), "browser", task_id=ID)
    assert said([leg]) == [
        ["start", "worker-start", "block-start", "block-end", "worker-result", "finish", "usage"]
    ]
    assert not [event for event in leg if "step" in event]


def test_the_leg_is_over_only_when_the_usage_has_come() -> None:
    legs = Legs(ID, "server")
    over = []
    for event in stored(*BEGIN, RESULT, FINISH, USAGE):
        legs.feed(event)
        over.append(legs.is_over)
    assert over == [False] * 5 + [True]


def test_a_run_without_usage_is_over_when_its_task_has_ended() -> None:
    legs = Legs(ID, "server")
    for event in stored(*BEGIN, RESULT, FINISH):
        legs.feed(event)
    assert legs.end(TaskStatus.COMPLETED, {"usage": {}}) == []
    assert legs.is_over


@pytest.mark.parametrize(
    ("audience", "asked", "reason"),
    [("server", "tool-request", "tool-calls"), ("browser", "client-tool-request", "client-tool-calls")],
)
def test_each_audience_is_asked_in_its_own_words(audience: Audience, asked: str, reason: str) -> None:
    rows = [
        *BEGIN,
        block("b2"),
        ("client-tool-request", {"executionId": ID, "toolCalls": [CALL], "step": "block:b2"}),
        ("finish", {"finishReason": "client-tool-calls", "executionId": ID, "step": "block:b2"}),
        *again("run:start", resume="answered"),
        block("b2"),
        ("tool-output-available", {"toolCallId": "b2:1", "output": 7, "step": "block:b2"}),
        end("b2"),
        RESULT,
        FINISH,
        USAGE,
    ]
    first, second = hear(stored(*rows), audience, task_id=ID)
    assert said([first]) == [["start", "worker-start", "block-start", asked, "block-end", "finish"]]
    request: dict[str, Any] = next(event for event in first if event["type"] == asked)
    assert request["toolCalls"] == [CALL]
    assert ("executionId" in request) is (audience == "browser")
    assert first[-1]["finishReason"] == reason
    assert second[0]["type"] == "start"
    assert second[0]["executionId"] == ID


def test_a_block_that_goes_on_after_the_answer_stays_open_over_the_end_of_the_leg() -> None:
    rows = [
        *BEGIN,
        block("b2", step="start-0:b2"),
        ("client-tool-request", {"executionId": ID, "toolCalls": [CALL], "step": "block:b2"}),
        ("finish", {"finishReason": "client-tool-calls", "executionId": ID, "step": "block:b2"}),
        *again("run:start", "start-0:b2", resume="answered"),
        text("start", "t", "model-1:b2"),
        text("delta", "t", "model-1:b2", delta="x"),
        text("end", "t", "model-1:b2"),
        end("b2"),
        RESULT,
        FINISH,
        USAGE,
    ]
    first, second = hear(stored(*rows), "browser", task_id=ID)
    assert "block-end" not in [event["type"] for event in first]
    assert [event["type"] for event in second].count("block-end") == 1


def test_a_person_is_asked_and_answers_as_a_tool_does() -> None:
    form = {"type": "object", "properties": {"approved": {"type": "boolean"}}}
    rows = [
        *BEGIN,
        block("b1"),
        (
            "human-request",
            {"key": "ask:b1", "type": "approval", "title": "Go?", "form": form, "step": "block:b1"},
        ),
        ("finish", {"finishReason": "client-tool-calls", "executionId": ID}),
        *again("run:start", resume="answered"),
        block("b1"),
        ("human-answer", {"key": "ask:b1", "response": {"approved": True}, "step": "block:b1"}),
        end("b1"),
        RESULT,
        FINISH,
        USAGE,
    ]
    first, second = hear(stored(*rows), "browser", task_id=ID)
    request = first[-3]
    assert request["toolCalls"] == [
        {
            "toolCallId": "ask:b1",
            "toolName": "agent_worker_human_approval",
            "args": {"title": "Go?", "form": form},
        }
    ]
    assert [event["type"] for event in first if event["type"].startswith("tool-input")] == [
        *("tool-input-start", "tool-input-end", "tool-input-available"),
    ]
    answers = [event for event in second if event["type"] == "tool-output-available"]
    assert answers == [
        {"type": "tool-output-available", "toolCallId": "ask:b1", "output": {"approved": True}}
    ]


def test_a_question_that_nobody_answered_is_a_tool_that_failed() -> None:
    legs = Legs(ID, "browser")
    told = [
        each
        for event in stored(*BEGIN, ("human-answer", {"key": "ask:b1", "error": "Nobody answered."}))
        for each in legs.feed(event)
    ]
    assert told[-1] == {"type": "tool-output-error", "toolCallId": "ask:b1", "error": "Nobody answered."}


def test_what_an_attempt_that_was_cut_short_left_open_is_closed_and_what_is_kept_goes_on() -> None:
    rows = [
        *BEGIN,
        block("loop", step="start-0:loop"),
        block("b1"),
        text("start", "t1", "block:b1"),
        text("delta", "t1", "block:b1", delta="half"),
        ("attempt-failed", {"attempt": 1, "code": "worker_lost", "error": "gone", "retryInS": 0}),
        *again("run:start", "start-0:loop"),
        block("b1"),
        text("start", "t2", "block:b1"),
        text("delta", "t2", "block:b1", delta="whole"),
        text("end", "t2", "block:b1"),
        end("b1"),
        end("loop"),
        RESULT,
        FINISH,
        USAGE,
    ]
    (leg,) = hear(stored(*rows), "server", task_id=ID)
    kinds = [event["type"] for event in leg]
    cut = kinds.index("start", 1)
    assert kinds[cut - 3 : cut] == ["text-delta", "text-end", "block-end"]
    assert leg[cut - 1] == {"type": "block-end", "blockId": "b1", "workerId": ID}
    assert kinds.count("start") == 2, "the next attempt begins in the same stream"


def test_an_attempt_that_failed_or_waits_does_not_end_the_leg() -> None:
    legs = Legs(ID, "server")
    for event in stored(*BEGIN, block("b1"), ("attempt-failed", {"attempt": 1, "code": "x", "error": "y"})):
        legs.feed(event)
    assert not legs.is_over


def test_a_worker_that_is_lost_for_good_gets_its_result_before_the_error() -> None:
    nested = {"workerId": "inner", "workerSlug": "inner", "step": "worker:b1"}
    rows = [
        *BEGIN,
        block("b1", step="start-0:b1"),
        ("worker-start", nested),
        text("start", "t1", "block:b2"),
        ERROR,
    ]
    (leg,) = hear(stored(*rows), "browser", task_id=ID)
    assert leg[-5:] == [
        {"type": "text-end", "id": "t1", "workerId": ID},
        {"type": "worker-result", "workerId": "inner", "error": "It broke."},
        {"type": "block-end", "blockId": "b1", "workerId": ID},
        {"type": "worker-result", "workerId": ID, "error": "It broke."},
        {"type": "error", **ERROR[1]},
    ]


def test_a_worker_that_has_said_its_result_does_not_say_it_again() -> None:
    rows = [*BEGIN, RESULT, *again("run:start"), RESULT, FINISH, USAGE]
    (leg,) = hear(stored(*rows), "browser", task_id=ID)
    assert [event["type"] for event in leg].count("worker-result") == 1


def test_a_run_that_fails_before_it_begins_still_begins_with_start() -> None:
    (leg,) = hear(stored(BEGIN[0], ERROR), "browser", task_id=ID)
    assert said([leg]) == [["start", "error"]]
    assert leg[0] == {"type": "start", "executionId": ID}


def test_no_optional_field_is_null_and_an_output_may_be() -> None:
    legs = Legs(ID, "browser")
    told = [
        each
        for event in stored(
            *BEGIN,
            ("worker-result", {"workerId": ID, "output": None, "error": None}),
        )
        for each in legs.feed(event)
    ]
    assert told[-1] == {"type": "worker-result", "workerId": ID, "output": None}


def ended(status: TaskStatus, response: JsonObject) -> TaskResult:
    now = datetime.now(UTC)
    return TaskResult(
        id=uuid4(),
        kind="pipeline",
        status=status,
        response=response,
        attempts=1,
        created_at=now,
        started_at=now,
        finished_at=now,
    )


CANCELLED = ended(TaskStatus.CANCELLED, {"error": "Stopped.", "code": "cancelled", "retryable": False})


def test_a_task_that_was_cancelled_before_it_ran_ends_with_an_error() -> None:
    (leg,) = hear([], "browser", task_id=ID, end=CANCELLED)
    assert said([leg]) == [["start", "error"]]
    assert (leg[1]["message"], leg[1]["code"], leg[1]["retryable"]) == ("Stopped.", "cancelled", False)


def test_a_task_that_was_cancelled_while_it_waited_ends_with_a_leg_of_its_own() -> None:
    rows = [
        *BEGIN,
        block("b2", step="start-0:b2"),
        ("client-tool-request", {"executionId": ID, "toolCalls": [CALL]}),
        ("finish", {"finishReason": "client-tool-calls", "executionId": ID}),
    ]
    _, second = hear(stored(*rows), "browser", task_id=ID, end=CANCELLED)
    assert said([second]) == [["start", "block-end", "worker-result", "error"]]


def test_a_task_that_somebody_completed_by_hand_ends_with_finish() -> None:
    (leg,) = hear([], "browser", task_id=ID, end=ended(TaskStatus.COMPLETED, {"answer": "by hand"}))
    assert said([leg]) == [["start", "finish"]]


def test_a_run_that_is_started_anew_speaks_in_a_new_leg() -> None:
    rows = [*BEGIN, RESULT, ERROR, *again("run:start", resume="retry"), RESULT, FINISH, USAGE]
    legs = Legs(ID, "browser")
    over = []
    kinds: list[object] = []
    for event in stored(*rows):
        kinds += [each["type"] for each in legs.feed(event)]
        over.append(legs.is_over)
    assert over[4:6] == [True, False]
    assert kinds[-4:] == ["start", "worker-result", "finish", "usage"]


def test_a_reader_of_one_leg_hears_what_a_reader_of_all_hears() -> None:
    rows = [
        *BEGIN,
        block("b2"),
        ("client-tool-request", {"executionId": ID, "toolCalls": [CALL], "step": "block:b2"}),
        ("finish", {"finishReason": "client-tool-calls", "executionId": ID, "step": "block:b2"}),
        *again("run:start", resume="answered"),
        block("b2"),
        ERROR,
    ]
    events = stored(*rows)
    whole, late = Legs(ID, "browser"), Legs(ID, "browser")
    told = [each for event in events for each in whole.feed(event)]
    later = [each for event in events[6:] for each in late.feed(event)]
    assert told[-len(later) :] == later
    assert [each["type"] for each in later] == ["start", "block-start", "block-end", "worker-result", "error"]
